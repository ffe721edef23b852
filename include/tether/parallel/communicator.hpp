// What processes of one job say to each other. Every collective is called by all ranks in the same
// order; each carries a sequence number, its kind, its size and the step it belongs to, and ranks
// that disagree get Error(peer) naming who is where instead of a hang (a rank that never comes is
// the watchdog's business). all_reduce_tree adds in the order of core/fixed_tree.hpp over ranks:
// the same bits on every rank and for every way the ranks are spread over nodes. One thread calls.
#pragma once

#include "tether/core/types.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace tether::parallel {

using Bytes = std::vector<std::byte>;

class Communicator {
public:
    Communicator() = default;
    Communicator(const Communicator&) = delete;
    Communicator& operator=(const Communicator&) = delete;
    // Collective, unless an exception is on its way: then nothing waits for anybody.
    virtual ~Communicator() = default;

    [[nodiscard]] virtual int rank() const noexcept = 0;
    [[nodiscard]] virtual int size() const noexcept = 0;
    [[nodiscard]] virtual int local_rank() const noexcept = 0; // among the ranks of this node
    [[nodiscard]] virtual int local_size() const noexcept = 0;
    [[nodiscard]] virtual std::string description() const = 0; // for people: "8 ranks on 2 nodes, ..."

    // Sums in place. Tree: a power-of-two number of ranks, else Error(usage). Fast: the order of
    // the sum may depend on the number of ranks and the network, never on the rank.
    virtual void all_reduce_tree(std::span<float> values) = 0;
    virtual void all_reduce_tree(std::span<double> values) = 0;
    virtual void all_reduce_fast(std::span<float> values) = 0;
    virtual void all_reduce_fast(std::span<double> values) = 0;

    // Small vectors, in place. NaN is greater than all numbers for max and less for min.
    virtual void all_reduce_max(std::span<double> values) = 0;
    virtual void all_reduce_max(std::span<std::int64_t> values) = 0;
    virtual void all_reduce_min(std::span<double> values) = 0;
    virtual void all_reduce_min(std::span<std::int64_t> values) = 0;
    virtual void all_reduce_or(std::span<std::int64_t> values) = 0; // bit by bit

    virtual void barrier() = 0;
    virtual void broadcast(std::span<std::byte> bytes, int root) = 0; // same size everywhere
    // One entry per rank (any sizes); gather gives an empty list except on the root.
    [[nodiscard]] virtual std::vector<Bytes> gather(std::span<const std::byte> bytes, int root) = 0;
    [[nodiscard]] virtual std::vector<Bytes> all_gather(std::span<const std::byte> bytes) = 0;

    // Messages from one rank to another (not to itself), in order per tag. Up to 64 KiB are copied
    // and send() returns at once; more waits until the receiver takes them.
    virtual void send(std::span<const std::byte> bytes, int to, int tag) = 0;
    [[nodiscard]] virtual Bytes receive(int from, int tag) = 0;
    virtual bool try_receive(int from, int tag, Bytes& into) = 0; // false: nothing there yet

    // New communicators; collective. color < 0: none for this rank (null).
    [[nodiscard]] virtual std::unique_ptr<Communicator> split(int color, int key) = 0;
    [[nodiscard]] std::unique_ptr<Communicator> duplicate() { return split(0, rank()); }

    // Zeroed memory of this rank, 64-byte aligned, living as long as the communicator, that the
    // other ranks of the node can read: all_reduce_tree on (a part of) it needs no copies.
    // Collective, the same size everywhere.
    [[nodiscard]] virtual std::span<std::byte> shared_bytes(std::size_t bytes) = 0;
    template <class T>
    [[nodiscard]] std::span<T> shared_buffer(Index count) {
        const std::span<std::byte> raw = shared_bytes(static_cast<std::size_t>(count) * sizeof(T));
        return {reinterpret_cast<T*>(raw.data()), static_cast<std::size_t>(count)};
    }

    // Zeroed memory, 64-byte aligned, living as long as the communicator, that the ranks of this node have in
    // common: what one writes the others see after node_barrier(). This rank is number `part` of the `parts`
    // that see it; a node without shared memory gives every rank its own. Collective, the same size
    // everywhere.
    template <class T>
    struct Common {
        std::span<T> values;
        int part = 0, parts = 1;
    };
    [[nodiscard]] virtual Common<std::byte> common_bytes(std::size_t bytes) = 0;
    template <class T>
    [[nodiscard]] Common<T> common_buffer(Index count) {
        const auto [raw, part, parts] = common_bytes(static_cast<std::size_t>(count) * sizeof(T));
        return {{reinterpret_cast<T*>(raw.data()), static_cast<std::size_t>(count)}, part, parts};
    }
    // Waits for the ranks that have memory in common with this one. Called by all ranks alike.
    virtual void node_barrier() = 0;

    // The step that the next collectives belong to: lets a skipped step be told from a slow one.
    virtual void set_step(Index step) noexcept = 0;
    // Who has not come to the collective that this rank is in; "" when in none. Any thread may ask.
    [[nodiscard]] virtual std::string waiting_for() const = 0;

    // Ends all processes of the job with this exit code, without waiting for any of them.
    [[noreturn]] virtual void abort(int code) = 0;

    // A trivially copyable value of the root for everybody.
    template <class T>
    [[nodiscard]] T broadcast_value(T value, int root) {
        broadcast(std::as_writable_bytes(std::span<T>(&value, 1)), root);
        return value;
    }
};

// One process alone.
[[nodiscard]] std::unique_ptr<Communicator> make_self_communicator();

// The ranks this process was started with: MPI under mpirun or srun, one process alone otherwise
// (MPI is then not even started). Once per process. Error(usage) with a hint where the launcher and
// the world disagree, such as several Slurm tasks that do not see each other.
// TETHER_RANKS_PER_NODE=n in the environment treats every n neighbouring ranks as a node of their
// own: 1 for machines whose shared memory is too small.
[[nodiscard]] std::unique_ptr<Communicator> make_communicator();

// Runs `work`; an exception is logged and ends the whole job with its exit code, since the other
// ranks would wait for this one. Returns the exit code where there are no others. What all ranks
// throw alike is told once: ranks other than 0 give rank 0 a moment to end the job first.
int guarded(Communicator& communicator, const std::function<void()>& work);

} // namespace tether::parallel
