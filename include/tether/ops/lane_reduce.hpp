// Sums over rows in the one fixed order: rows of a lane in sequence, lanes by the balanced tree.
#pragma once

#include "tether/core/types.hpp"

#include <algorithm>
#include <span>
#include <vector>

namespace tether::ops {

// to[0..columns) = (accumulate ? to : 0) + tree over lanes of the sum of add(row, sum) over the
// rows of each lane. `add(row, T* sum)` adds the row's contribution to sum[0..columns).
template <class T, class Add>
void lane_reduce(std::span<const Index> lane_begin, Index columns, T* to, bool accumulate, std::vector<T>& scratch,
                 Add&& add) {
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
        std::fill(current, current + columns, T(0));
        for (Index r = lane_begin[static_cast<std::size_t>(l)]; r < lane_begin[static_cast<std::size_t>(l + 1)]; ++r) {
            add(r, current);
        }
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

} // namespace tether::ops
