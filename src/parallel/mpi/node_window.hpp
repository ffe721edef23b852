// Memory that the ranks of one node share, with a barrier in it. Each rank has two slots for a
// header and a small payload, used in turn: whoever arrives at collective k+1 has read everything
// of collective k, so its slots may be written for k+2 after one barrier. The barrier spins for a
// moment, then sleeps. Memory comes from MPI_Win_allocate_shared.
#pragma once

#include "src/parallel/collective.hpp"
#include "src/parallel/mpi/calls.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tether::parallel {

// One allocation of the same size per rank, mapped by all ranks of the node.
class SharedMemory {
public:
    // Collective over the node; nothing (on all ranks alike) where the node has no room for it.
    static std::optional<SharedMemory> make(const MpiComm& node, std::size_t bytes);
    SharedMemory(SharedMemory&& other) noexcept;
    SharedMemory& operator=(SharedMemory&& other) noexcept;
    ~SharedMemory(); // collective, unless an exception is going
    [[nodiscard]] std::byte* of(int rank) const { return bases_[static_cast<std::size_t>(rank)]; }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

private:
    SharedMemory() = default;
    MPI_Win window_ = MPI_WIN_NULL;
    std::size_t bytes_ = 0;
    std::vector<std::byte*> bases_;
};

class NodeWindow {
public:
    static constexpr std::size_t payload_bytes = 4096;

    // Collective over the node; nothing where shared memory cannot be had.
    static std::optional<NodeWindow> make(const MpiComm& node, bool spin);

    [[nodiscard]] int rank() const noexcept { return rank_; }
    [[nodiscard]] int size() const noexcept { return size_; }

    // A barrier that carries this rank's header and payload to the others.
    void arrive(const Header& header, std::span<const std::byte> payload);
    [[nodiscard]] const Header& header(int rank) const;               // of the last arrive()
    [[nodiscard]] std::span<const std::byte> payload(int rank) const; // as long as one's own
    void barrier();

    // Ranks of the node that have not come to the barrier this rank waits in. Any thread.
    [[nodiscard]] std::vector<int> missing() const;

private:
    struct Control;
    struct Slot;
    NodeWindow(SharedMemory memory, int rank, int size, bool spin);
    [[nodiscard]] Slot& slot(int rank) const;
    [[nodiscard]] Control& control(int rank) const;

    SharedMemory memory_;
    int rank_;
    int size_;
    std::chrono::microseconds spin_;
    std::uint64_t arrivals_ = 0; // decides which of two slots is used
    std::size_t payload_size_ = 0;
};

} // namespace tether::parallel
