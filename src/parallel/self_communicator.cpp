// One process alone: the same interface, nothing to exchange. No message can be on its way, since
// messages to oneself are not allowed.
#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/parallel/communicator.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <new>
#include <thread>

namespace tether::parallel {
namespace {

struct FreeAligned {
    void operator()(std::byte* bytes) const { ::operator delete (bytes, std::align_val_t{64}); }
};

class SelfCommunicator final : public Communicator {
public:
    [[nodiscard]] int rank() const noexcept override { return 0; }
    [[nodiscard]] int size() const noexcept override { return 1; }
    [[nodiscard]] int local_rank() const noexcept override { return 0; }
    [[nodiscard]] int local_size() const noexcept override { return 1; }
    [[nodiscard]] std::string description() const override { return "one process"; }

    void all_reduce_tree(std::span<float>) override {}
    void all_reduce_tree(std::span<double>) override {}
    void all_reduce_fast(std::span<float>) override {}
    void all_reduce_fast(std::span<double>) override {}
    void all_reduce_max(std::span<double>) override {}
    void all_reduce_max(std::span<std::int64_t>) override {}
    void all_reduce_min(std::span<double>) override {}
    void all_reduce_min(std::span<std::int64_t>) override {}
    void all_reduce_or(std::span<std::int64_t>) override {}
    void barrier() override {}

    void broadcast(std::span<std::byte>, int root) override { check_rank(root); }
    [[nodiscard]] std::vector<Bytes> gather(std::span<const std::byte> bytes, int root) override {
        check_rank(root);
        return all_gather(bytes);
    }
    [[nodiscard]] std::vector<Bytes> all_gather(std::span<const std::byte> bytes) override {
        return {Bytes(bytes.begin(), bytes.end())};
    }

    void send(std::span<const std::byte>, int to, int) override { no_message(to); }
    [[nodiscard]] Bytes receive(int from, int) override { no_message(from); }
    bool try_receive(int from, int, Bytes&) override { no_message(from); }

    [[nodiscard]] std::unique_ptr<Communicator> split(int color, int) override {
        return color < 0 ? nullptr : make_self_communicator();
    }

    [[nodiscard]] std::span<std::byte> shared_bytes(std::size_t bytes) override {
        buffers_.emplace_back(static_cast<std::byte*>(::operator new (bytes, std::align_val_t{64})));
        const std::span<std::byte> result(buffers_.back().get(), bytes);
        std::fill(result.begin(), result.end(), std::byte{0});
        return result;
    }

    [[nodiscard]] Common<std::byte> common_bytes(std::size_t bytes) override {
        return {shared_bytes(bytes), 0, 1};
    }
    void node_barrier() override {}

    void set_step(Index) noexcept override {}
    [[nodiscard]] std::string waiting_for() const override { return {}; }

    [[noreturn]] void abort(int code) override {
        std::fflush(nullptr);
        ::_exit(code);
    }

private:
    static void check_rank(int root) { check(root == 0, "communicator: rank {} of 1 rank", root); }
    [[noreturn]] static void no_message(int other) {
        fail(ExitCode::usage, "communicator: a message to or from rank {}, but there is only rank 0, alone",
             other);
    }
    std::vector<std::unique_ptr<std::byte, FreeAligned>> buffers_;
};

} // namespace

std::unique_ptr<Communicator> make_self_communicator() { return std::make_unique<SelfCommunicator>(); }

int guarded(Communicator& communicator, const std::function<void()>& work) {
    int code = 0;
    std::string message;
    try {
        work();
        return code;
    } catch (const Error& error) {
        code = static_cast<int>(error.code());
        message = error.what();
    } catch (const std::exception& error) {
        code = static_cast<int>(ExitCode::peer);
        message = fmt::format("unexpected: {}", error.what());
    }
    if (communicator.rank() > 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2000));
    }
    log::error("{}", message);
    if (communicator.size() > 1) {
        communicator.abort(code);
    }
    return code;
}

} // namespace tether::parallel
