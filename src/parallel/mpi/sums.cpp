// The sums of MpiCommunicator: which schedule a vector takes, and the schedules themselves. All of
// them are the tree of core/fixed_tree.hpp over ranks.
#include "src/parallel/mpi/communicator.hpp"
#include "src/parallel/mpi/tree_exchange.hpp"

#include "tether/core/error.hpp"
#include "tether/core/fixed_tree.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>
#include <utility>

namespace tether::parallel {
namespace {

constexpr int sum_tag = 2; // header_tag of communicator.cpp is on another communicator
constexpr std::size_t staging_bytes = std::size_t{1} << 20U; // per rank, two halves: fits in L2

// The part of `count` entries that belongs to one of `parts`, cut at cache lines.
std::pair<std::size_t, std::size_t> slice_of(std::size_t count, int part, int parts) {
    constexpr std::size_t line = 16;
    const std::size_t lines = (count + line - 1) / line;
    const auto cut = [&](int at) {
        return std::min(count, lines * static_cast<std::size_t>(at) / static_cast<std::size_t>(parts) * line);
    };
    return {cut(part), cut(part + 1)};
}

} // namespace

template <class T>
void MpiCommunicator::sum_tree(std::span<T> values) {
    check(
        is_power_of_two(size_),
        "all_reduce_tree: {} ranks, expected a power of two (a dedicated coordinator's rank is not counted)",
        size_);
    Header mine = header(Collective::sum_tree, values.size(), sizeof(T), -1);
    const Scope scope(*this, mine);
    if (one_node() && values.size_bytes() <= NodeWindow::payload_bytes) {
        const std::vector<const std::byte*>& all = exchange(mine, std::as_bytes(values));
        std::array<const T*, most_local> from{};
        for (std::size_t rank = 0; rank < all.size(); ++rank) {
            from[rank] = reinterpret_cast<const T*>(all[rank]);
        }
        if (!values.empty()) {
            tree_sum_vectors<T>(std::span(from).first(all.size()), 0, static_cast<Index>(values.size()),
                                values.data());
        }
        return;
    }
    if (!window_) {
        agree(mine);
        if constexpr (std::is_same_v<T, float>) {
            tree_exchange<T>(comm_.get(), rank_, size_, values, scratch_float_, sum_tag, spin_);
        } else {
            tree_exchange<T>(comm_.get(), rank_, size_, values, scratch_double_, sum_tag, spin_);
        }
        return;
    }
    std::uint64_t number = 1;
    for (const SharedMemory& memory : shared_) {
        const auto* const begin = reinterpret_cast<const std::byte*>(values.data());
        if (begin >= memory.of(local_rank_) &&
            begin + values.size_bytes() <= memory.of(local_rank_) + memory.bytes()) {
            mine.place = (number << 48U) + static_cast<std::uint64_t>(begin - memory.of(local_rank_)) + 1;
            sum_direct(values, mine, memory);
            return;
        }
        ++number;
    }
    sum_staged(values, mine);
}

// Adds this rank's slice over the vectors of the node, and over the nodes, into `out`.
template <class T>
void MpiCommunicator::sum_slice(std::span<const T* const> from, std::size_t begin, std::size_t end, T* out) {
    tree_sum_vectors<T>(from, static_cast<Index>(begin), static_cast<Index>(end), out);
    if (nodes_ > 1) {
        const std::span<T> slice(out + begin, end - begin);
        const int node = rank_ / local_size_;
        if constexpr (std::is_same_v<T, float>) {
            tree_exchange<T>(across_.get(), node, nodes_, slice, scratch_float_, sum_tag, spin_);
        } else {
            tree_exchange<T>(across_.get(), node, nodes_, slice, scratch_double_, sum_tag, spin_);
        }
    }
}

template <class T>
void MpiCommunicator::sum_direct(std::span<T> values, const Header& mine, const SharedMemory& memory) {
    const auto offset = reinterpret_cast<std::byte*>(values.data()) - memory.of(local_rank_);
    const auto ranks = static_cast<std::size_t>(local_size_);
    std::array<T*, most_local> vectors{};
    std::array<const T*, most_local> from{};
    for (std::size_t rank = 0; rank < ranks; ++rank) {
        from[rank] = vectors[rank] = reinterpret_cast<T*>(memory.of(static_cast<int>(rank)) + offset);
    }
    agree(mine);
    const auto [begin, end] = slice_of(values.size(), local_rank_, local_size_);
    // In pieces that stay in cache between the sum and its way to the others; between nodes at once.
    const std::size_t piece = nodes_ > 1 ? std::max(end - begin, std::size_t{1}) : 2048;
    for (std::size_t first = begin; first < end; first += piece) {
        const std::size_t last = std::min(end, first + piece);
        sum_slice<T>(std::span(from).first(ranks), first, last, values.data());
        for (std::size_t rank = 0; rank < ranks; ++rank) {
            if (vectors[rank] != values.data()) {
                std::memcpy(vectors[rank] + first, values.data() + first, (last - first) * sizeof(T));
            }
        }
    }
    window_->barrier();
}

template <class T>
void MpiCommunicator::sum_staged(std::span<T> values, const Header& mine) {
    const std::size_t half = staging_bytes / 2;
    if (!staging_) {
        agree(mine);
        staging_ = SharedMemory::make(node_, staging_bytes);
        check(staging_.has_value(), ExitCode::device,
              "MPI: no shared memory for {} bytes of staging on this node; TETHER_RANKS_PER_NODE=1 does "
              "without",
              staging_bytes);
    }
    const std::size_t piece = half / sizeof(T);
    const auto ranks = static_cast<std::size_t>(local_size_);
    std::array<T*, most_local> areas{};
    std::array<const T*, most_local> from{};
    std::size_t done = 0;
    do {
        const std::size_t count = std::min(piece, values.size() - done);
        const std::size_t start = (staged_++ & 1U) * half;
        for (std::size_t rank = 0; rank < ranks; ++rank) {
            from[rank] = areas[rank] = reinterpret_cast<T*>(staging_->of(static_cast<int>(rank)) + start);
        }
        T* const own = areas[static_cast<std::size_t>(local_rank_)];
        std::copy_n(values.data() + done, count, own); // perhaps of an empty vector, which lies nowhere
        if (done == 0) {
            agree(mine);
        } else {
            window_->barrier();
        }
        const auto [begin, end] = slice_of(count, local_rank_, local_size_);
        sum_slice<T>(std::span(from).first(ranks), begin, end, own);
        window_->barrier();
        for (int rank = 0; rank < local_size_; ++rank) {
            const auto [first, last] = slice_of(count, rank, local_size_);
            std::copy_n(areas[static_cast<std::size_t>(rank)] + first, last - first,
                        values.data() + done + first);
        }
        done += count;
    } while (done < values.size());
}

template <class T>
void MpiCommunicator::sum_fast(std::span<T> values) {
    if (one_node() && is_power_of_two(size_)) {
        sum_tree(values); // shared memory is faster than what MPI offers
        return;
    }
    const Header mine = header(Collective::sum_fast, values.size(), sizeof(T), -1);
    const Scope scope(*this, mine);
    agree(mine);
    std::array<MPI_Request, 1> request{MPI_REQUEST_NULL};
    TETHER_MPI_CHECK(MPI_Iallreduce(MPI_IN_PLACE, values.data(), mpi_count(values.size()),
                                    std::is_same_v<T, float> ? MPI_FLOAT : MPI_DOUBLE, MPI_SUM, comm_.get(),
                                    request.data()));
    mpi_wait(request, spin_);
}

template void MpiCommunicator::sum_tree(std::span<float> values);
template void MpiCommunicator::sum_tree(std::span<double> values);
template void MpiCommunicator::sum_fast(std::span<float> values);
template void MpiCommunicator::sum_fast(std::span<double> values);

} // namespace tether::parallel
