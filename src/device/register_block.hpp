// What both products are made of: block_rows x (2 vectors) of the result stay in registers while k runs.
// Private to src/device; compiled with contraction on, so that every multiply-add is fused.
#pragma once

#include "src/device/vector.hpp"
#include "tether/core/types.hpp"

#include <utility>

namespace tether::device {

template <class T, int Rows, int Vectors>
struct Tile {
    Vector<T> v[Rows][Vectors];
};

// tile += a (Rows x k, element (i, p) at a[i * row_stride + p * k_stride]) times panel.
template <class T, int Rows, int Vectors>
[[gnu::always_inline]] inline void accumulate_tile(Tile<T, Rows, Vectors>& tile, const T* a, Index row_stride,
                                                   Index k_stride, Index k, const T* panel,
                                                   Index panel_stride) {
    for (Index p = 0; p < k; ++p) {
        Vector<T> right[Vectors];
#pragma GCC unroll 4
        for (int j = 0; j < Vectors; ++j) {
            right[j] = load(panel + p * panel_stride + j * width<T>);
        }
#pragma GCC unroll 16
        for (int i = 0; i < Rows; ++i) {
            const T left = a[i * row_stride + p * k_stride];
#pragma GCC unroll 4
            for (int j = 0; j < Vectors; ++j) {
                tile.v[i][j] += left * right[j];
            }
        }
    }
}

inline constexpr std::make_integer_sequence<int, block_rows> all_rows{};

// Rows of the next register block: all blocks nearly equal, never a sliver at the end.
constexpr Index next_block(Index left) {
    const Index blocks = (left + block_rows - 1) / block_rows;
    return (left + blocks - 1) / blocks;
}

// Widest panels first; a remainder of at most one vector takes a panel of one vector.
template <class T>
bool narrow(Index first, Index n) {
    return n - first <= width<T>;
}

} // namespace tether::device
