// See replica_group.hpp.
#include "tether/device/replica_group.hpp"

#include "tether/core/error.hpp"

#include <condition_variable>
#include <exception>
#include <mutex>

namespace tether::device {

// Where members meet. Every use of the real device is under the mutex.
struct ReplicaGroup::Meeting {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t members = 0;
    std::vector<BatchedRange> waiting;
    long round = 0;
    std::exception_ptr error; // of the last round

    // Called under the mutex by whoever completes a round.
    void run_if_all_are_here(Backend& real) {
        if (waiting.empty() || waiting.size() < members) {
            return;
        }
        error = nullptr;
        try {
            real.run_together(waiting);
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
