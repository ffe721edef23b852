// Which lanes a rank and its threads own (design 4). Invariant: every rank and every thread owns an
// aligned block of a power-of-two number of lanes, hence a subtree of the fixed summation tree, and
// the assignment never changes what is computed, only where.
#pragma once

#include "tether/core/types.hpp"

namespace tether::parallel {

struct LaneRange {
    int first = 0;
    int count = 0;
    [[nodiscard]] int end() const noexcept { return first + count; }
    friend bool operator==(const LaneRange&, const LaneRange&) = default;
};

class LaneMap {
public:
    // Error(usage) when lanes is no power of two or ranks does not divide it. Of `threads`, the
    // largest power of two is used that divides a rank's lanes; rank 0 logs it when that is fewer.
    LaneMap(int lanes, int ranks, int rank, int threads);

    [[nodiscard]] int lanes() const noexcept { return lanes_; }
    [[nodiscard]] int ranks() const noexcept { return ranks_; }
    [[nodiscard]] int rank() const noexcept { return rank_; }
    [[nodiscard]] int threads() const noexcept { return threads_; } // those that have lanes
    [[nodiscard]] int lanes_per_rank() const noexcept { return lanes_ / ranks_; }
    [[nodiscard]] int lanes_per_thread() const noexcept { return lanes_per_rank() / threads_; }

    [[nodiscard]] LaneRange of_rank(int rank) const;     // lanes are numbered over the whole job
    [[nodiscard]] LaneRange of_thread(int thread) const; // a thread of this rank
    [[nodiscard]] LaneRange mine() const { return of_rank(rank_); }
    [[nodiscard]] int rank_of(int lane) const;

private:
    int lanes_;
    int ranks_;
    int rank_;
    int threads_;
};

} // namespace tether::parallel
