// Sum of squares of a long vector in an order that depends on its length alone: blocks of 4096
// elements, inside a block 16 running sums (element i goes to sum i mod 16) added as a balanced
// tree, then a balanced tree over the blocks. Blocks may be computed by any number of threads and
// compiled for any vector width: the result has the same bits. Everything is added in double.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"

namespace tether::kernels {

inline constexpr Index norm_block = 4096;
inline constexpr int norm_lanes = 16;

TETHER_HD constexpr Index norm_blocks(Index size) { return (size + norm_block - 1) / norm_block; }

// Adds values[0..count) pairwise with stride 1, 2, 4, ...; the values are used up.
TETHER_HD constexpr double tree_sum_in_place(double* values, Index count) {
    for (Index stride = 1; stride < count; stride *= 2) {
        for (Index i = 0; i + stride < count; i += 2 * stride) {
            values[i] += values[i + stride];
        }
    }
    return count == 0 ? 0.0 : values[0];
}

// One block: at most norm_block elements.
template <class T>
TETHER_HD double squared_norm_block(const T* values, Index count) {
    double sums[norm_lanes] = {};
    Index i = 0;
    for (; i + norm_lanes <= count; i += norm_lanes) {
        for (int lane = 0; lane < norm_lanes; ++lane) {
            const auto value = static_cast<double>(values[i + lane]);
            sums[lane] += value * value;
        }
    }
    for (int lane = 0; i < count; ++i, ++lane) {
        const auto value = static_cast<double>(values[i]);
        sums[lane] += value * value;
    }
    return tree_sum_in_place(sums, norm_lanes);
}

} // namespace tether::kernels
