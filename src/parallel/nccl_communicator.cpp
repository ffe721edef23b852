// Sums over devices by NCCL, over the interface of its calls (nccl_calls.hpp). Start-up goes through the
// host's communicator. The tree is that of the host (tree_exchange.hpp): halving with neighbours first, then
// doubling back, or whole vectors where they are small; each level a pair of messages and one launch that
// adds. A thread looks at the library's state and aborts when it reports an error, so that kernels that wait
// for a lost peer end and the host comes back from waiting for them.
#include "tether/core/error.hpp"
#include "tether/core/fixed_tree.hpp"
#include "tether/device/devices.hpp"
#include "tether/kernels/tree_add.hpp"
#include "tether/parallel/nccl_calls.hpp"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <tuple>
#include <vector>

namespace tether::parallel {
namespace {

using Clock = std::chrono::steady_clock;

std::string version_text(int number) {
    return number >= 20000 ? fmt::format("{}.{}.{}", number / 10000, number / 100 % 100, number % 100)
                           : fmt::format("{}.{}.{}", number / 1000, number / 100 % 10, number % 100);
}

class NcclCommunicator final : public DeviceCommunicator {
public:
    NcclCommunicator(std::unique_ptr<NcclCalls> calls, Communicator& ranks, device::Backend& backend,
                     const DeviceCommunicatorOptions& options)
        : calls_(std::move(calls)), backend_(backend), options_(options), rank_(ranks.rank()),
          size_(ranks.size()), exceptions_(std::uncaught_exceptions()) {
        int number = 0;
        made("ncclGetVersion", calls_->version(number));
        describe(number, ranks);
        NcclId id{};
        // Also where it fails: the others wait for rank 0.
        const int result = rank_ == 0 ? calls_->unique_id(id) : NcclCalls::success;
        const int of_root = ranks.broadcast_value(result, 0);
        check(of_root == NcclCalls::success, ExitCode::peer, "NCCL: ncclGetUniqueId failed on rank 0: {}",
              calls_->text(of_root));
        id = ranks.broadcast_value(id, 0);
        try {
            finish_call("ncclCommInitRankConfig", calls_->start(comm_, size_, id, rank_));
        } catch (...) {
            if (comm_ != nullptr) {
                calls_->abort(comm_);
            }
            throw;
        }
        monitor_ = std::thread([this] { watch(); });
    }
    ~NcclCommunicator() override {
        {
            const std::scoped_lock lock(mutex_);
            ended_ = true;
        }
        changed_.notify_all();
        monitor_.join();
        if (!aborted_) {
            if (std::uncaught_exceptions() > exceptions_) {
                calls_->abort(comm_);
            } else {
                try {
                    backend_.synchronise(); // nothing of ours may still run
                    calls_->finish(comm_);
                } catch (const Error&) { // of the device, which will be reported by who uses it next
                    calls_->abort(comm_);
                }
            }
        }
    }

    [[nodiscard]] std::string description() const override { return description_; }
    [[nodiscard]] bool in_graph() const override { return true; }
    void sum(float* values, Index count, SumOrder order) override { sum_of(values, count, order); }
    void sum(double* values, Index count, SumOrder order) override { sum_of(values, count, order); }
    void check_peers() override {
        if (failed_.load(std::memory_order_acquire)) {
            fail(ExitCode::peer, "rank {}: {}", rank_, trouble());
        }
    }
    [[nodiscard]] std::string trouble() const override {
        const int result = failed_.load(std::memory_order_acquire);
        return result == 0 ? std::string()
                           : fmt::format("NCCL reports a failure, a peer or the network is lost: {}",
                                         calls_->text(result));
    }

private:
    template <class T>
    static constexpr NcclCalls::Number type_of() {
        return sizeof(T) == sizeof(float) ? NcclCalls::Number::float32 : NcclCalls::Number::float64;
    }
    // A level of the tree: what goes to the partner, what comes, and the addition.
    struct Level {
        int partner;
        std::size_t give, keep, count_given, count_kept; // first entries, numbers of entries
        device::LaunchList add;                          // empty on the way back
    };
    // What sums on one stream need: those of two streams run at the same time.
    struct Workspace {
        explicit Workspace(device::Backend& backend) : scratch(backend) {}
        device::Buffer<std::byte> scratch;
        const std::byte* scratch_of_plans = nullptr;
        std::map<std::tuple<const void*, std::size_t, std::size_t>, std::vector<Level>> levels;
    };

    void describe(int number, Communicator& ranks) {
        // NCCL does not tell what it takes; this is what there is to take.
        const bool one_node = ranks.local_size() == ranks.size();
        const bool peers = device::survey_devices().no_peer_access.empty();
        description_ =
            fmt::format("NCCL {}, {} devices, {}", version_text(number), size_,
                        size_ == 1 ? "alone"
                        : one_node ? (peers ? "peer access within the node" : "host memory of the node")
                                   : "network between nodes");
    }
    void made(const char* call, int result) {
        check(result == NcclCalls::success, ExitCode::peer, "rank {}: NCCL: {} failed: {}", rank_, call,
              calls_->text(result));
    }
    // Until a call that goes on in the background is done, or the time limit is over.
    void finish_call(const char* call, int result) {
        const auto begin = Clock::now(), end = begin + options_.limit;
        while (result == NcclCalls::in_progress) {
            check_peers();
            const auto now = Clock::now();
            check(
                now < end, ExitCode::peer,
                "rank {}: NCCL: {} did not end within {} s: another rank is missing or the network does not "
                "answer (NCCL_DEBUG=INFO tells more)",
                rank_, call, std::chrono::duration<double>(options_.limit).count());
            if (now - begin < std::chrono::milliseconds(1)) {
                std::this_thread::yield();
            } else {
                std::this_thread::sleep_for(std::chrono::microseconds(100));
            }
            made("ncclCommGetAsyncError", calls_->state(comm_, result));
        }
        made(call, result);
    }
    void watch() {
        std::unique_lock lock(mutex_);
        while (!ended_ && !aborted_) {
            changed_.wait_for(lock, options_.poll, [this] { return ended_; });
            if (ended_) {
                return;
            }
            int now = NcclCalls::success;
            const int asked = calls_->state(comm_, now);
            const int result = asked != NcclCalls::success ? asked : now;
            if (result != NcclCalls::success && result != NcclCalls::in_progress) {
                failed_.store(result, std::memory_order_release);
                aborted_ = true; // what comes back is never used again
                calls_->abort(comm_);
            }
        }
    }

    template <class T>
    void sum_of(T* values, Index count, SumOrder order) {
        check_peers();
        if (size_ == 1 || count == 0) {
            return;
        }
        if (order == SumOrder::tree) {
            sum_by_tree(values, static_cast<std::size_t>(count));
        } else {
            const auto most =
                std::max<std::size_t>(1, static_cast<std::size_t>(options_.bucket_bytes) / sizeof(T));
            for (std::size_t first = 0; first < static_cast<std::size_t>(count); first += most) {
                finish_call("ncclAllReduce",
                            calls_->all_reduce(values + first,
                                               std::min(most, static_cast<std::size_t>(count) - first),
                                               type_of<T>(), comm_, backend_.stream()));
            }
        }
    }
    template <class T>
    void sum_by_tree(T* values, std::size_t count) {
        check(is_power_of_two(size_),
              "sums in the order of the tree over {} devices, expected a power of two", size_);
        Workspace& w = workspaces_.try_emplace(backend_.stream(), backend_).first->second;
        std::vector<Level>& levels = w.levels[{values, count, sizeof(T)}];
        if (levels.empty()) {
            plan(values, count, w, levels);
        }
        T* taken = reinterpret_cast<T*>(w.scratch.data());
        for (const Level& level : levels) {
            T* to = level.add.size() > 0 ? taken : values + level.keep;
            made("ncclGroupStart", calls_->begin_group());
            int result = calls_->send(values + level.give, level.count_given, type_of<T>(), level.partner,
                                      comm_, backend_.stream());
            if (ok(result)) {
                result = calls_->receive(to, level.count_kept, type_of<T>(), level.partner, comm_,
                                         backend_.stream());
            }
            const int ended = calls_->end_group();
            finish_call("ncclSend and ncclRecv", ok(result) ? ended : result);
            backend_.run(level.add, 0, level.add.size(), {});
        }
    }
    static bool ok(int result) { return result == NcclCalls::success || result == NcclCalls::in_progress; }

    // As tree_exchange.hpp. On the way down `keep` is a half of what this rank holds; on the way back it is
    // what the partner has.
    template <class T>
    void plan(T* values, std::size_t count, Workspace& w, std::vector<Level>& levels) {
        w.scratch.require(static_cast<Index>(count * sizeof(T))); // grows: earlier plans must be made anew
        if (w.scratch_of_plans != w.scratch.data()) {
            w.scratch_of_plans = w.scratch.data();
            for (auto& [key, old] : w.levels) {
                old.clear();
            }
        }
        const T* taken = reinterpret_cast<const T*>(w.scratch.data());
        const auto add = [&](Level& level, int distance) {
            level.add.name("tree");
            level.add.each(static_cast<Index>(level.count_kept),
                           kernels::TreeAddNumbers<T>{values + level.keep, taken, (rank_ & distance) == 0});
        };
        if (count * sizeof(T) <= static_cast<std::size_t>(options_.small_bytes) ||
            count < static_cast<std::size_t>(size_)) { // halves of nothing cannot be sent
            for (int distance = 1; distance < size_; distance *= 2) {
                levels.push_back({rank_ ^ distance, 0, 0, count, count, {}});
                add(levels.back(), distance);
            }
            return;
        }
        std::size_t begin = 0, end = count;
        std::vector<Level> back;
        for (int distance = 1; distance < size_; distance *= 2) {
            const std::size_t middle = begin + (end - begin) / 2;
            const bool lower = (rank_ & distance) == 0;
            const std::size_t low = middle - begin, high = end - middle;
            levels.push_back(lower ? Level{rank_ ^ distance, middle, begin, high, low, {}}
                                   : Level{rank_ ^ distance, begin, middle, low, high, {}});
            back.push_back(lower ? Level{rank_ ^ distance, begin, middle, low, high, {}}
                                 : Level{rank_ ^ distance, middle, begin, high, low, {}});
            add(levels.back(), distance);
            (lower ? end : begin) = middle;
        }
        levels.insert(levels.end(), std::make_move_iterator(back.rbegin()),
                      std::make_move_iterator(back.rend()));
    }

    std::unique_ptr<NcclCalls> calls_;
    device::Backend& backend_;
    DeviceCommunicatorOptions options_;
    int rank_, size_, exceptions_;
    std::string description_;
    NcclComm comm_ = nullptr;
    std::map<void*, Workspace> workspaces_; // by stream

    std::mutex mutex_; // of the monitor
    std::condition_variable changed_;
    bool ended_ = false;
    std::atomic<bool> aborted_{false};
    std::atomic<int> failed_{0}; // NCCL's result
    std::thread monitor_;
};

} // namespace

std::string nccl_version() {
    const auto calls = make_nccl_calls();
    int number = 0;
    return calls != nullptr && calls->version(number) == NcclCalls::success ? version_text(number) : "";
}

std::unique_ptr<DeviceCommunicator> make_nccl_communicator(std::unique_ptr<NcclCalls> calls,
                                                           Communicator& ranks, device::Backend& backend,
                                                           const DeviceCommunicatorOptions& options) {
    check_devices_differ(ranks, backend);
    return std::make_unique<NcclCommunicator>(std::move(calls), ranks, backend, options);
}

} // namespace tether::parallel
