// Sums over rows in the one fixed order: rows of a lane in sequence, lanes by the balanced tree.
// Whatever is done to a sum (rounding to another type, scaling, adding partial sums) must be done per
// lane, before the tree: lanes may be spread over groups, threads and ranks.
#pragma once

#include "tether/core/types.hpp"

#include <algorithm>
#include <span>
#include <vector>

namespace tether::ops {

// The tree over lanes that come one after the other (a binary counter): `sum()` is to be filled with
// the sum over the rows of a lane, `add(lane)` puts it into the tree; after the last lane sum() is the
// total. The memory may outlive the object: a sum may be taken up again in the middle of a lane.
template <class T>
class LaneTree {
public:
    LaneTree(Index lanes, Index columns, std::vector<T>& memory) : lanes_(lanes), columns_(columns) {
        Index levels = 2;
        while ((Index{1} << (levels - 2)) < lanes) {
            ++levels;
        }
        if (memory.size() < static_cast<std::size_t>(levels * columns)) {
            memory.resize(static_cast<std::size_t>(levels * columns));
        }
        levels_ = memory.data();
        sum_ = levels_ + (levels - 1) * columns;
    }
    [[nodiscard]] T* sum() { return sum_; }
    void clear() { std::fill(sum_, sum_ + columns_, T(0)); }
    void add(Index lane) {
        Index level = 0;
        for (Index bits = lane; (bits & 1) != 0; bits >>= 1) {
            const T* left = levels_ + level * columns_;
            for (Index c = 0; c < columns_; ++c) {
                sum_[c] = left[c] + sum_[c];
            }
            ++level;
        }
        if (lane + 1 < lanes_) {
            std::copy(sum_, sum_ + columns_, levels_ + level * columns_);
        }
    }

private:
    Index lanes_, columns_;
    T* levels_;
    T* sum_;
};

// to[0..columns) = (accumulate ? to : 0) + tree over lanes of leaves; leaf(first, last, T* sum) writes
// the sum over the rows [first, last) of one lane.
template <class T, class Leaf>
void lane_tree(std::span<const Index> lane_begin, Index columns, T* to, bool accumulate,
               std::vector<T>& scratch, Leaf&& leaf) {
    const auto lanes = static_cast<Index>(lane_begin.size()) - 1;
    LaneTree<T> tree(lanes, columns, scratch);
    for (Index l = 0; l < lanes; ++l) {
        leaf(lane_begin[static_cast<std::size_t>(l)], lane_begin[static_cast<std::size_t>(l + 1)],
             tree.sum());
        tree.add(l);
    }
    for (Index c = 0; c < columns; ++c) {
        to[c] = accumulate ? to[c] + tree.sum()[c] : tree.sum()[c];
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
