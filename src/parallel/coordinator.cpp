#include "tether/parallel/coordinator.hpp"

#include "role_thread.hpp"

#include "tether/core/error.hpp"
#include "tether/core/log.hpp"

#include <array>
#include <cstring>
#include <utility>

namespace tether::parallel {
namespace {

// ---- shared: the role is a thread of this process

class SharedLink final : public CoordinatorLink {
public:
    explicit SharedLink(CoordinatorFactory factory) : role_(std::move(factory)) {}

    void post(std::span<const double> report) override {
        role_.report(report);
        ++open_;
    }
    [[nodiscard]] const std::vector<double>& wait() override {
        check(open_ > 0, "coordinator: wait() without a report that awaits its answer");
        role_.answer(answer_, std::nullopt);
        --open_;
        return answer_;
    }
    void post_blob(const std::string& kind, std::vector<std::byte> bytes) override {
        role_.blob(kind, std::move(bytes));
    }
    void finish() override { role_.finish(); }

private:
    RoleThread role_;
    std::vector<double> answer_;
    long open_ = 0;
};

// ---- dedicated: the role is a thread of the last rank, whose main thread carries the messages.
// To the coordinator: 'r' numbers | 'b' length of kind, kind, bytes | 'f' finish | 'x' rank 0 is gone.
// Back: 'm' the role is made | 'a' numbers | 'e' exit code, message | 'd' finished. After 'e' the
// coordinator goes on taking messages until 'x', so that no large blob is stuck on its way.

constexpr int to_role = 1;
constexpr int from_role = 2;

struct Frame {
    char kind = 0;
    std::array<char, 7> unused{};
    std::int64_t number = 0;
};

void pack(Bytes& into, char kind, std::int64_t number, std::span<const std::byte> first,
          std::span<const std::byte> second = {}) {
    Frame frame;
    frame.kind = kind;
    frame.number = number;
    into.resize(sizeof frame + first.size() + second.size());
    std::memcpy(into.data(), &frame, sizeof frame);
    if (!first.empty()) {
        std::memcpy(into.data() + sizeof frame, first.data(), first.size());
    }
    if (!second.empty()) {
        std::memcpy(into.data() + sizeof frame + first.size(), second.data(), second.size());
    }
}

Frame unpack(const Bytes& bytes, std::span<const std::byte>& rest) {
    Frame frame;
    check(bytes.size() >= sizeof frame, ExitCode::peer,
          "coordinator: a message of {} bytes, expected at least {}", bytes.size(), sizeof frame);
    std::memcpy(&frame, bytes.data(), sizeof frame);
    rest = std::span(bytes).subspan(sizeof frame);
    return frame;
}

std::string text(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void read_numbers(std::span<const std::byte> bytes, std::vector<double>& into) {
    into.resize(bytes.size() / sizeof(double));
    if (!into.empty()) {
        std::memcpy(into.data(), bytes.data(), into.size() * sizeof(double));
    }
}

class DedicatedLink final : public CoordinatorLink {
public:
    explicit DedicatedLink(Communicator& channel) : channel_(channel) { expect('m'); }
    ~DedicatedLink() override {
        if (!over_) {
            try {
                leave();
            } catch (const std::exception& error) {
                log::error("coordinator: {}", error.what());
            }
        }
    }

    void post(std::span<const double> report) override {
        look_for_error();
        pack(out_, 'r', 0, std::as_bytes(report));
        channel_.send(out_, 1, to_role);
        ++open_;
    }
    [[nodiscard]] const std::vector<double>& wait() override {
        check(open_ > 0, "coordinator: wait() without a report that awaits its answer");
        if (!ready_) {
            expect('a');
        }
        ready_ = false;
        --open_;
        std::span<const std::byte> rest;
        unpack(in_, rest);
        read_numbers(rest, answer_);
        return answer_;
    }
    void post_blob(const std::string& kind, std::vector<std::byte> bytes) override {
        look_for_error();
        pack(out_, 'b', static_cast<std::int64_t>(kind.size()), std::as_bytes(std::span(kind)), bytes);
        channel_.send(out_, 1, to_role);
    }
    void finish() override {
        look_for_error();
        pack(out_, 'f', 0, {});
        channel_.send(out_, 1, to_role);
        while (ready_ || open_ > 0) { // answers nobody wants any more
            (void)wait();
        }
        expect('d');
        over_ = true;
    }

private:
    void leave() {
        over_ = true;
        pack(out_, 'x', 0, {});
        channel_.send(out_, 1, to_role);
    }
    // One message ahead is taken in, so that an error is seen by the next call of any kind.
    void look_for_error() {
        if (failure_) {
            throw *failure_;
        }
        if (!ready_ && channel_.try_receive(1, from_role, in_)) {
            judge(open_ > 0 ? 'a' : 'e');
            ready_ = true;
        }
    }
    void expect(char kind) {
        if (failure_) {
            throw *failure_;
        }
        in_ = channel_.receive(1, from_role);
        judge(kind);
    }
    void judge(char kind) {
        std::span<const std::byte> rest;
        const Frame frame = unpack(in_, rest);
        if (frame.kind == 'e') {
            failure_ = Error(static_cast<ExitCode>(frame.number), text(rest));
            leave();
            throw *failure_;
        }
        check(frame.kind == kind, ExitCode::peer, "coordinator: message '{}' came, expected '{}'", frame.kind,
              kind);
    }

    Communicator& channel_;
    Bytes out_;
    Bytes in_;
    std::vector<double> answer_;
    std::optional<Error> failure_;
    bool ready_ = false; // in_ holds an answer not yet handed out
    bool over_ = false;  // nothing more will be sent
    long open_ = 0;
};

// Carries messages between rank 0 and the role until the role has finished.
void carry(Communicator& channel, RoleThread& role) {
    using std::chrono::microseconds;
    Bytes in;
    Bytes out;
    std::vector<double> numbers;
    std::span<const std::byte> rest;
    long open = 0;
    // Polling must not take a core from the workers: the longer nothing came, the longer the pause.
    microseconds pause{10};
    for (;;) {
        if (channel.try_receive(0, to_role, in)) {
            pause = microseconds{10};
            const Frame frame = unpack(in, rest);
            if (frame.kind == 'r') {
                read_numbers(rest, numbers);
                role.report(numbers);
                ++open;
            } else if (frame.kind == 'b') {
                const auto length = static_cast<std::size_t>(frame.number);
                check(length <= rest.size(), ExitCode::peer,
                      "coordinator: a blob of {} bytes with a name of {}", rest.size(), length);
                const auto body = rest.subspan(length);
                role.blob(text(rest.first(length)), {body.begin(), body.end()});
            } else if (frame.kind == 'x') {
                return; // dropped, as without finish() in the shared case
            } else {
                for (; open > 0; --open) {
                    if (role.answer(numbers, std::nullopt)) {
                        pack(out, 'a', 0, std::as_bytes(std::span<const double>(numbers)));
                        channel.send(out, 0, from_role);
                    }
                }
                role.finish();
                pack(out, 'd', 0, {});
                channel.send(out, 0, from_role);
                return;
            }
        }
        if (role.answer(numbers, pause)) {
            pack(out, 'a', 0, std::as_bytes(std::span<const double>(numbers)));
            channel.send(out, 0, from_role);
            --open;
        }
        pause = std::min(pause * 5 / 4 + microseconds{1}, microseconds{1000});
    }
}

} // namespace

Cast assign_roles(Communicator& world, CoordinatorPlace place) {
    Cast cast;
    if (place == CoordinatorPlace::shared) {
        cast.workers = world.duplicate();
        return cast;
    }
    check(
        world.size() >= 2,
        "coordinator: 'dedicated' takes a rank of its own beside the workers, but there is 1 rank; start one "
        "more (mpirun -np 2 ...) or set parallel.coordinator = \"shared\"");
    const int last = world.size() - 1;
    cast.channel = world.split(world.rank() == 0 || world.rank() == last ? 0 : -1, world.rank());
    cast.workers = world.split(world.rank() == last ? -1 : 0, world.rank());
    return cast;
}

std::unique_ptr<CoordinatorLink> connect_coordinator(Cast& cast, CoordinatorPlace place,
                                                     CoordinatorFactory factory) {
    check(cast.workers != nullptr && cast.workers->rank() == 0,
          "coordinator: only rank 0 of the workers has a link");
    if (place == CoordinatorPlace::shared) {
        return std::make_unique<SharedLink>(std::move(factory));
    }
    return std::make_unique<DedicatedLink>(*cast.channel);
}

void serve_coordinator(Cast& cast, CoordinatorFactory factory) {
    check(cast.is_coordinator() && cast.channel != nullptr,
          "coordinator: this rank is not the dedicated one");
    Communicator& channel = *cast.channel;
    Bytes out;
    try {
        RoleThread role(std::move(factory));
        pack(out, 'm', 0, {});
        channel.send(out, 0, from_role);
        carry(channel, role);
    } catch (const Error& error) {
        const std::string message = error.what();
        pack(out, 'e', static_cast<std::int64_t>(error.code()), std::as_bytes(std::span(message)));
        channel.send(out, 0, from_role);
        std::span<const std::byte> rest;
        while (unpack(out, rest).kind != 'x') {
            out = channel.receive(0, to_role);
        }
        throw;
    }
}

} // namespace tether::parallel
