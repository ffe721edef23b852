// Sums over rows in the one fixed order: rows of a lane in sequence, lanes by the balanced tree.
// Whatever is done to a sum (rounding to another type, scaling, adding partial sums) must be done per
// lane, before the tree: lanes may be spread over groups, threads and ranks.
#pragma once

#include "tether/core/types.hpp"

#include <algorithm>
#include <span>
#include <vector>

namespace tether::ops {

// to[0..columns) = (accumulate ? to : 0) + tree over lanes of leaves; leaf(first, last, T* sum) writes
// the sum over the rows [first, last) of one lane.
template <class T, class Leaf>
void lane_tree(std::span<const Index> lane_begin, Index columns, T* to, bool accumulate,
               std::vector<T>& scratch, Leaf&& leaf) {
    const auto lanes = static_cast<Index>(lane_begin.size()) - 1;
    Index levels = 2;
    while ((Index{1} << (levels - 2)) < lanes) {
        ++levels;
    }
    if (scratch.size() < static_cast<std::size_t>(levels * columns)) {
        scratch.resize(static_cast<std::size_t>(levels * columns));
    }
    T* current = scratch.data() + (levels - 1) * columns;
    for (Index l = 0; l < lanes; ++l) {
        leaf(lane_begin[static_cast<std::size_t>(l)], lane_begin[static_cast<std::size_t>(l + 1)], current);
        Index level = 0;
        for (Index bits = l; (bits & 1) != 0; bits >>= 1) {
            const T* left = scratch.data() + level * columns;
            for (Index c = 0; c < columns; ++c) {
                current[c] = left[c] + current[c];
            }
            ++level;
        }
        if (l + 1 < lanes) {
            std::copy(current, current + columns, scratch.data() + level * columns);
        }
    }
    for (Index c = 0; c < columns; ++c) {
        to[c] = accumulate ? to[c] + current[c] : current[c];
    }
}

// The same where the leaf is a plain sum: add(row, T* sum) adds the row's contribution.
template <class T, class Add>
void lane_reduce(std::span<const Index> lane_begin, Index columns, T* to, bool accumulate,
                 std::vector<T>& scratch, Add&& add) {
    lane_tree<T>(lane_begin, columns, to, accumulate, scratch, [&](Index first, Index last, T* sum) {
        std::fill(sum, sum + columns, T(0));
        for (Index row = first; row < last; ++row) {
            add(row, sum);
        }
    });
}

} // namespace tether::ops
