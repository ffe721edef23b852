// The fixed tree over the ranks of a communicator by messages: recursive halving (distances 1, 2,
// 4, ...: neighbours first, as the tree wants it), then doubling back. Every entry is added once,
// lower subtree on the left, so all ranks end with the same bits. A power-of-two number of ranks.
#pragma once

#include "src/parallel/mpi/calls.hpp"

#include <array>
#include <span>
#include <vector>

namespace tether::parallel {

template <class T>
void tree_exchange(MPI_Comm comm, int rank, int size, std::span<T> values, std::vector<T>& scratch, int tag,
                   bool spin) {
    struct Cut {
        std::size_t begin, middle, end;
    };
    std::array<Cut, 32> cuts{};
    std::size_t depth = 0;
    std::size_t begin = 0;
    std::size_t end = values.size();
    scratch.resize(values.size() / 2 + 1);
    const auto part = [&](std::size_t from, std::size_t to) { return values.subspan(from, to - from); };
    for (int distance = 1; distance < size; distance *= 2, ++depth) {
        const std::size_t middle = begin + (end - begin) / 2;
        cuts[depth] = {begin, middle, end};
        const bool lower = (rank & distance) == 0;
        const std::span<T> keep = lower ? part(begin, middle) : part(middle, end);
        const std::span<T> give = lower ? part(middle, end) : part(begin, middle);
        const std::span<T> taken = std::span<T>(scratch).first(keep.size());
        mpi_exchange(comm, rank ^ distance, give.data(), give.size_bytes(), rank ^ distance, taken.data(),
                     taken.size_bytes(), tag, spin);
        for (std::size_t i = 0; i < keep.size(); ++i) {
            keep[i] = lower ? keep[i] + taken[i] : taken[i] + keep[i];
        }
        (lower ? end : begin) = middle;
    }
    for (int distance = size / 2; distance >= 1; distance /= 2) {
        const Cut cut = cuts[--depth];
        const bool lower = (rank & distance) == 0;
        const std::span<T> have = lower ? part(cut.begin, cut.middle) : part(cut.middle, cut.end);
        const std::span<T> want = lower ? part(cut.middle, cut.end) : part(cut.begin, cut.middle);
        mpi_exchange(comm, rank ^ distance, have.data(), have.size_bytes(), rank ^ distance, want.data(),
                     want.size_bytes(), tag, spin);
    }
}

} // namespace tether::parallel
