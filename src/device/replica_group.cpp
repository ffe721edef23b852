// See replica_group.hpp.
#include "tether/device/replica_group.hpp"

#include "tether/core/error.hpp"

#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <tuple>

namespace tether::device {

namespace {

// Equal for lists that can run together.
std::uint64_t signature_of(const BatchedRange& r) {
    std::uint64_t hash = 1469598103934665603U;
    for (std::size_t i = r.first; i < r.last; ++i) {
        const Launch& launch = r.list->launches()[i];
        for (const std::uint64_t x :
             {static_cast<std::uint64_t>(launch.functor.hash_code()),
              static_cast<std::uint64_t>(launch.shape) * 2 + (launch.beside ? 1 : 0)}) {
            hash = (hash ^ x) * 1099511628211U;
        }
    }
    return hash;
}

} // namespace

// Where members meet. Every use of the real device is under the mutex.
struct ReplicaGroup::Meeting {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t members = 0;
    std::vector<BatchedRange> waiting;
    long round = 0;
    std::exception_ptr error; // of the last round
    std::map<std::tuple<std::uint64_t, std::size_t, std::size_t>, std::uint64_t> signatures;

    std::uint64_t signature(const BatchedRange& r) {
        if (signatures.size() > 4096) { // versions only grow: the first are the oldest
            signatures.erase(signatures.begin());
        }
        const auto [at, is_new] = signatures.try_emplace({r.list->version(), r.first, r.last}, 0);
        if (is_new) {
            at->second = signature_of(r);
        }
        return at->second;
    }
    // Called under the mutex by whoever completes a round.
    void run_if_all_are_here(Backend& real) {
        if (waiting.empty() || waiting.size() < members) {
            return;
        }
        error = nullptr;
        try {
            // One may evaluate while another trains: what is the same work runs together.
            std::map<std::uint64_t, std::vector<BatchedRange>> works;
            for (const BatchedRange& r : waiting) {
                works[signature(r)].push_back(r);
            }
            for (const auto& [same, ranges] : works) {
                real.run_together(ranges);
            }
        } catch (...) {
            error = std::current_exception();
        }
        waiting.clear();
        ++round;
        changed.notify_all();
    }
};

class ReplicaGroup::Member : public Backend {
public:
    Member(Backend& real, Meeting& meeting) : real_(real), meeting_(meeting) {
        const std::scoped_lock lock(meeting_.mutex);
        ++meeting_.members;
    }
    ~Member() override {
        const std::scoped_lock lock(meeting_.mutex);
        --meeting_.members;
        meeting_.run_if_all_are_here(real_);
    }
    [[nodiscard]] std::string name() const override { return real_.name(); }
    [[nodiscard]] std::string identity() const override { return real_.identity(); }
    [[nodiscard]] void* allocate(std::size_t bytes) override {
        const std::scoped_lock lock(meeting_.mutex);
        return real_.allocate(bytes);
    }
    void release(void* memory) override {
        const std::scoped_lock lock(meeting_.mutex);
        real_.release(memory);
    }
    [[nodiscard]] void* allocate_staging(std::size_t bytes) override {
        const std::scoped_lock lock(meeting_.mutex);
        return real_.allocate_staging(bytes);
    }
    void release_staging(void* memory) override {
        const std::scoped_lock lock(meeting_.mutex);
        real_.release_staging(memory);
    }
    void to_device(void* device, const void* host, std::size_t bytes) override {
        const std::scoped_lock lock(meeting_.mutex);
        real_.to_device(device, host, bytes);
    }
    void to_host(void* host, const void* device, std::size_t bytes) override {
        const std::scoped_lock lock(meeting_.mutex);
        real_.to_host(host, device, bytes);
    }
    void fetch(void* staging, const void* device, std::size_t bytes) override {
        const std::scoped_lock lock(meeting_.mutex);
        real_.fetch(staging, device, bytes);
    }
    void await(const void* staging) override {
        const std::scoped_lock lock(meeting_.mutex);
        real_.await(staging);
    }
    void clear(void* device, std::size_t bytes) override {
        const std::scoped_lock lock(meeting_.mutex);
        real_.clear(device, bytes);
    }
    // Replicas fill the device together: the default of one part is what suits them.
    // Sums between ranks have no place here: a replica is one rank.
    void run(const LaunchList& list, std::size_t first, std::size_t last, const DeviceExchange&) override {
        std::unique_lock lock(meeting_.mutex);
        const long round = meeting_.round;
        meeting_.waiting.push_back({&list, first, last});
        meeting_.run_if_all_are_here(real_);
        meeting_.changed.wait(lock, [&] { return meeting_.round > round; });
        if (meeting_.error) {
            std::rethrow_exception(meeting_.error);
        }
    }
    void run_together(std::span<const BatchedRange>) override {
        fail(ExitCode::usage, "a member of a group of replicas cannot run a group of its own");
    }
    // What a member asks for happens at meetings, one list after the other.
    void replay(std::uint64_t, const std::function<void()>& body) override { body(); }
    void beside(const std::function<void(void*)>& work) override { work(nullptr); }
    void meet() override {}
    [[nodiscard]] void* stream() const override { return nullptr; }
    void synchronise() override {
        const std::scoped_lock lock(meeting_.mutex);
        real_.synchronise();
    }
    [[nodiscard]] Counts counts() const override {
        const std::scoped_lock lock(meeting_.mutex);
        return real_.counts();
    }

private:
    Backend& real_;
    Meeting& meeting_;
};

ReplicaGroup::ReplicaGroup(Backend& real) : real_(real), meeting_(std::make_unique<Meeting>()) {}
ReplicaGroup::~ReplicaGroup() = default;

std::unique_ptr<Backend> ReplicaGroup::member() { return std::make_unique<Member>(real_, *meeting_); }

void check_same_launches(std::span<const BatchedRange> ranges) {
    const BatchedRange& one = ranges.front();
    for (const BatchedRange& r : ranges) {
        check(r.last - r.first == one.last - one.first,
              "replicas run together: lists of {} and {} launches, expected recordings of the same program",
              r.last - r.first, one.last - one.first);
        for (std::size_t i = 0; i < one.last - one.first; ++i) {
            const Launch& a = one.list->launches()[one.first + i];
            const Launch& b = r.list->launches()[r.first + i];
            check(a.functor == b.functor && a.shape == b.shape && a.beside == b.beside,
                  "replicas run together: launch {} is {} in one list and {} in another, expected recordings "
                  "of "
                  "the same program",
                  i, a.name, b.name);
        }
    }
}

} // namespace tether::device
