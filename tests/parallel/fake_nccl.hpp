// Several devices in one process: every rank is a thread with an emulated device, a host communicator over
// shared memory and calls of NCCL that exchange through mailboxes. A rank can be lost, calls can fail, and
// what waits for a lost rank waits until the communicator is aborted, as on a device.
#pragma once

#include "tether/core/error.hpp"
#include "tether/parallel/nccl_calls.hpp"

#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace tether::test {

using parallel::Bytes;
using parallel::Communicator;
using parallel::NcclCalls;
using parallel::NcclComm;
using parallel::NcclId;

struct FakeNode {
    explicit FakeNode(int ranks_) : ranks(ranks_) {}
    int ranks;
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::map<int, Bytes>> gathered;              // collectives of the host, by number and rank
    std::map<std::pair<int, int>, std::deque<Bytes>> mail;  // from, to
    std::map<std::size_t, std::map<int, Bytes>> reductions; // by number and rank
    int started = 0;
    int slow_starts = 0;   // polls until a start is done
    std::string fail_call; // fails on rank fail_rank
    int fail_rank = 0;
    int reported_to_all = 0;         // an error of the network, from now on
    std::vector<std::string> record; // of rank 0
    int aborts = 0, ends = 0;
};

// What start-up needs of a host communicator.
class FakeRanks final : public Communicator {
public:
    FakeRanks(FakeNode& node, int rank) : node_(node), rank_(rank) {}
    [[nodiscard]] int rank() const noexcept override { return rank_; }
    [[nodiscard]] int size() const noexcept override { return node_.ranks; }
    [[nodiscard]] int local_rank() const noexcept override { return rank_; }
    [[nodiscard]] int local_size() const noexcept override { return node_.ranks; }
    [[nodiscard]] std::string description() const override { return "threads"; }
    [[nodiscard]] std::vector<Bytes> all_gather(std::span<const std::byte> bytes) override {
        std::unique_lock lock(node_.mutex);
        const std::size_t round = round_++;
        if (node_.gathered.size() <= round) {
            node_.gathered.resize(round + 1);
        }
        node_.gathered[round][rank_] = {bytes.begin(), bytes.end()};
        node_.changed.notify_all();
        node_.changed.wait(lock,
                           [&] { return static_cast<int>(node_.gathered[round].size()) == node_.ranks; });
        std::vector<Bytes> all;
        for (const auto& [rank, entry] : node_.gathered[round]) {
            all.push_back(entry);
        }
        return all;
    }
    void broadcast(std::span<std::byte> bytes, int root) override {
        const std::vector<Bytes> all = all_gather(bytes);
        std::memcpy(bytes.data(), all[static_cast<std::size_t>(root)].data(), bytes.size());
    }
    void all_reduce_tree(std::span<float>) override { never(); }
    void all_reduce_tree(std::span<double>) override { never(); }
    void all_reduce_fast(std::span<float>) override { never(); }
    void all_reduce_fast(std::span<double>) override { never(); }
    void all_reduce_max(std::span<double>) override { never(); }
    void all_reduce_max(std::span<std::int64_t>) override { never(); }
    void all_reduce_min(std::span<double>) override { never(); }
    void all_reduce_min(std::span<std::int64_t>) override { never(); }
    void all_reduce_or(std::span<std::int64_t>) override { never(); }
    void barrier() override { (void)all_gather({}); }
    [[nodiscard]] std::vector<Bytes> gather(std::span<const std::byte>, int) override { never(); }
    void send(std::span<const std::byte>, int, int) override { never(); }
    [[nodiscard]] Bytes receive(int, int) override { never(); }
    bool try_receive(int, int, Bytes&) override { never(); }
    [[nodiscard]] std::unique_ptr<Communicator> split(int, int) override { never(); }
    [[nodiscard]] std::span<std::byte> shared_bytes(std::size_t) override { never(); }
    [[nodiscard]] Common<std::byte> common_bytes(std::size_t) override { never(); }
    void node_barrier() override { never(); }
    void set_step(Index) noexcept override {}
    [[nodiscard]] std::string waiting_for() const override { return {}; }
    [[noreturn]] void abort(int) override { never(); }

private:
    [[noreturn]] static void never() { fail(ExitCode::usage, "not needed here"); }
    FakeNode& node_;
    int rank_;
    std::size_t round_ = 0;
};

class FakeNccl final : public NcclCalls {
public:
    FakeNccl(FakeNode& node, int rank) : node_(node), rank_(rank) {}

    int version(int& number) override {
        number = 22809;
        return noted("ncclGetVersion");
    }
    int unique_id(NcclId& id) override {
        id.fill(std::byte{7});
        return noted("ncclGetUniqueId");
    }
    int start(NcclComm& comm, int ranks, const NcclId& id, int rank) override {
        if (const int failed = noted("ncclCommInitRankConfig")) {
            return failed;
        }
        comm = this;
        polls_ = 0;
        const std::scoped_lock lock(node_.mutex);
        ++node_.started;
        return id[5] == std::byte{7} && ranks == node_.ranks && rank == rank_ ? in_progress : 4;
    }
    int state(NcclComm, int& result) override {
        const std::scoped_lock lock(node_.mutex);
        result =
            node_.started < node_.ranks || polls_++ < node_.slow_starts ? in_progress : node_.reported_to_all;
        return success;
    }
    int finish(NcclComm) override {
        const std::scoped_lock lock(node_.mutex);
        ++node_.ends;
        return success;
    }
    int abort(NcclComm) override {
        const std::scoped_lock lock(node_.mutex);
        ++node_.aborts;
        aborted_ = true;
        node_.changed.notify_all();
        return success;
    }
    int begin_group() override { return noted("ncclGroupStart"); }
    int send(const void* from, std::size_t count, Number type, int peer, NcclComm, void*) override {
        if (const int failed = noted("ncclSend")) {
            return failed;
        }
        const auto* bytes = static_cast<const std::byte*>(from);
        const std::scoped_lock lock(node_.mutex);
        node_.mail[{rank_, peer}].emplace_back(bytes, bytes + count * size_of(type));
        node_.changed.notify_all();
        return success;
    }
    int receive(void* to, std::size_t count, Number type, int peer, NcclComm, void*) override {
        if (const int failed = noted("ncclRecv")) {
            return failed;
        }
        receives_.push_back({static_cast<std::byte*>(to), count * size_of(type), peer});
        return success;
    }
    int end_group() override {
        if (const int failed = noted("ncclGroupEnd")) {
            return failed;
        }
        std::unique_lock lock(node_.mutex);
        for (const auto& [to, bytes, peer] : receives_) {
            auto& box = node_.mail[{peer, rank_}];
            node_.changed.wait(lock, [&] { return !box.empty() || aborted_; });
            if (box.empty()) {
                return success; // the kernel was ended: garbage
            }
            if (box.front().size() != bytes) {
                return 4;
            }
            std::memcpy(to, box.front().data(), bytes);
            box.pop_front();
        }
        receives_.clear();
        return success;
    }
    // Adds in the order of the ranks.
    int all_reduce(void* values, std::size_t count, Number type, NcclComm, void*) override {
        if (const int failed = noted("ncclAllReduce")) {
            return failed;
        }
        std::unique_lock lock(node_.mutex);
        auto& parts = node_.reductions[reductions_++];
        const auto* bytes = static_cast<const std::byte*>(values);
        parts[rank_] = {bytes, bytes + count * size_of(type)};
        node_.changed.notify_all();
        node_.changed.wait(lock, [&] { return static_cast<int>(parts.size()) == node_.ranks || aborted_; });
        if (static_cast<int>(parts.size()) < node_.ranks) {
            return success;
        }
        type == Number::float32 ? add(static_cast<float*>(values), count, parts)
                                : add(static_cast<double*>(values), count, parts);
        return success;
    }
    [[nodiscard]] std::string text(int result) const override {
        return "fake NCCL " + std::to_string(result);
    }

private:
    struct Receive {
        std::byte* to;
        std::size_t bytes;
        int peer;
    };
    static std::size_t size_of(Number type) { return type == Number::float32 ? 4 : 8; }
    template <class T>
    static void add(T* values, std::size_t count, const std::map<int, Bytes>& parts) {
        std::fill_n(values, count, T(0));
        for (const auto& [rank, part] : parts) {
            for (std::size_t i = 0; i < count; ++i) {
                values[i] += reinterpret_cast<const T*>(part.data())[i];
            }
        }
    }
    int noted(const std::string& call) {
        const std::scoped_lock lock(node_.mutex);
        if (rank_ == 0) {
            node_.record.push_back(call);
        }
        return call == node_.fail_call && rank_ == node_.fail_rank ? 3 : success;
    }
    FakeNode& node_;
    int rank_;
    int polls_ = 0;
    std::size_t reductions_ = 0;
    bool aborted_ = false;
    std::vector<Receive> receives_;
};

} // namespace tether::test
