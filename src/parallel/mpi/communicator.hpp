// Communicator over MPI. Small collectives and sums of the ranks of one node go through shared
// memory (node_window), everything else through messages. Three schedules of the same tree sum:
//   direct   the vector lies in shared memory: each rank adds its slice of all vectors of the node
//            and writes the sum into each of them;
//   staged   any memory: the same, piece by piece through a shared staging area;
//   messages no shared memory on the node, or ranks not dealt to nodes in aligned blocks.
// Between nodes, ranks with the same place in their node exchange their slice (tree_exchange).
#pragma once

#include "src/parallel/mpi/calls.hpp"
#include "src/parallel/mpi/node_window.hpp"

#include "tether/parallel/communicator.hpp"

#include <atomic>
#include <list>
#include <optional>

namespace tether::parallel {

class MpiCommunicator final : public Communicator {
public:
    MpiCommunicator(std::shared_ptr<MpiSession> session, MpiComm comm); // collective; owns comm
    ~MpiCommunicator() override;

    [[nodiscard]] int rank() const noexcept override { return rank_; }
    [[nodiscard]] int size() const noexcept override { return size_; }
    [[nodiscard]] int local_rank() const noexcept override { return local_rank_; }
    [[nodiscard]] int local_size() const noexcept override { return local_size_; }
    [[nodiscard]] std::string description() const override;

    void all_reduce_tree(std::span<float> values) override { sum_tree(values); }
    void all_reduce_tree(std::span<double> values) override { sum_tree(values); }
    void all_reduce_fast(std::span<float> values) override { sum_fast(values); }
    void all_reduce_fast(std::span<double> values) override { sum_fast(values); }
    void all_reduce_max(std::span<double> values) override;
    void all_reduce_max(std::span<std::int64_t> values) override;
    void all_reduce_min(std::span<double> values) override;
    void all_reduce_min(std::span<std::int64_t> values) override;
    void all_reduce_or(std::span<std::int64_t> values) override;
    void barrier() override;
    void broadcast(std::span<std::byte> bytes, int root) override;
    [[nodiscard]] std::vector<Bytes> gather(std::span<const std::byte> bytes, int root) override;
    [[nodiscard]] std::vector<Bytes> all_gather(std::span<const std::byte> bytes) override;
    void send(std::span<const std::byte> bytes, int to, int tag) override;
    [[nodiscard]] Bytes receive(int from, int tag) override;
    bool try_receive(int from, int tag, Bytes& into) override;
    [[nodiscard]] std::unique_ptr<Communicator> split(int color, int key) override;
    [[nodiscard]] std::span<std::byte> shared_bytes(std::size_t bytes) override;
    [[nodiscard]] Common<std::byte> common_bytes(std::size_t bytes) override;
    void node_barrier() override;
    void set_step(Index step) noexcept override { step_ = step; }
    [[nodiscard]] std::string waiting_for() const override;
    [[noreturn]] void abort(int code) override;

private:
    struct Pending { // a small message on its way
        MPI_Request request = MPI_REQUEST_NULL;
        Bytes bytes;
    };
    // Publishes the collective this rank is in, for waiting_for().
    struct Scope {
        Scope(MpiCommunicator& owner, const Header& header) : owner_(owner) {
            owner_.in_kind_.store(static_cast<std::uint32_t>(header.kind), std::memory_order_relaxed);
            owner_.in_step_.store(header.step, std::memory_order_relaxed);
            owner_.in_sequence_.store(header.sequence, std::memory_order_release);
        }
        ~Scope() { owner_.in_sequence_.store(0, std::memory_order_release); }
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;
        MpiCommunicator& owner_;
    };
    static constexpr int most_local = 256; // ranks of one node

    void find_nodes();
    [[nodiscard]] std::optional<SharedMemory> node_memory(std::size_t mine); // for all ranks, or for none
    [[nodiscard]] std::span<std::byte> private_bytes(std::size_t bytes);
    [[nodiscard]] Header header(Collective kind, std::uint64_t count, std::uint32_t entry, int root);
    // All ranks have come, to the same collective. With a window on one node this is its barrier.
    void agree(const Header& header);
    // The same, carrying equally long payloads: bytes of all ranks by rank.
    const std::vector<const std::byte*>& exchange(const Header& header, std::span<const std::byte> payload);
    [[nodiscard]] std::vector<std::int64_t> exchange_sizes(const Header& header, std::size_t bytes);
    [[nodiscard]] std::vector<Bytes> gather_to(Collective kind, std::span<const std::byte> bytes, int root);
    [[nodiscard]] bool one_node() const noexcept { return window_ && local_size_ == size_; }
    void check_rank(int rank, bool other) const;
    void deliver(bool all); // looks after small messages on their way

    template <class T>
    void sum_tree(std::span<T> values);
    template <class T>
    void sum_fast(std::span<T> values);
    template <class T>
    void sum_slice(std::span<const T* const> from, std::size_t begin, std::size_t end, T* out);
    template <class T>
    void sum_direct(std::span<T> values, const Header& header, const SharedMemory& memory);
    template <class T>
    void sum_staged(std::span<T> values, const Header& header);
    template <class T, class Combine>
    void combine(Collective kind, std::span<T> values, Combine better);

    std::shared_ptr<MpiSession> session_;
    MpiComm comm_;    // data, and messages of the users
    MpiComm control_; // headers
    MpiComm node_;    // ranks of this node
    MpiComm across_;  // the ranks with this local rank, one per node; only when layered
    int rank_ = 0;
    int size_ = 1;
    int local_rank_ = 0;
    int local_size_ = 1;
    int nodes_ = 1;
    bool spin_ = true;
    std::optional<NodeWindow> window_; // only when nodes hold aligned, equal blocks of ranks
    std::list<SharedMemory> shared_;   // of shared_bytes(), in order
    std::list<SharedMemory> common_;   // of common_bytes(), all of it in the part of the node's first rank
    std::vector<std::unique_ptr<std::byte[]>> private_;
    std::optional<SharedMemory> staging_;
    std::uint64_t staged_ = 0; // pieces so far; decides which half of the staging area is used
    std::vector<float> scratch_float_;
    std::vector<double> scratch_double_;
    std::vector<std::byte> gathered_;
    std::vector<const std::byte*> payloads_;
    std::list<Pending> pending_;
    std::list<Pending> spare_; // kept for the next ones
    std::uint64_t sequence_ = 0;
    Index step_ = -1;
    std::atomic<std::uint64_t> in_sequence_{0}; // 0: in no collective
    std::atomic<std::uint32_t> in_kind_{0};
    std::atomic<Index> in_step_{-1};
};

} // namespace tether::parallel
