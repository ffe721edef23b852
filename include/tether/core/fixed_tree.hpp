// The one order in which sums over lanes, threads and ranks are taken: a balanced binary tree over
// a power-of-two number of leaves, neighbours first: ((0+1)+(2+3))+((4+5)+(6+7)). Any aligned
// power-of-two block of leaves is a subtree, so a lane, a thread and a rank may each add up their
// own block and the bits are those of one process adding everything. The left operand is always
// the subtree of the lower leaves. A missing leaf is an error, except in sum_padded().
#pragma once

#include "tether/core/error.hpp"
#include "tether/core/types.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

// Iterations of the next loop neither read nor write what another one writes.
#ifdef __clang__
#define TETHER_INDEPENDENT_ITERATIONS _Pragma("clang loop vectorize(assume_safety)")
#else
#define TETHER_INDEPENDENT_ITERATIONS _Pragma("GCC ivdep")
#endif

namespace tether {

[[nodiscard]] constexpr bool is_power_of_two(Index n) {
    return n > 0 && std::has_single_bit(static_cast<std::uint64_t>(n));
}

// Sum of all leaves at once. Their number must be a power of two.
template <class T>
[[nodiscard]] T tree_sum(std::span<const T> leaves) {
    check(is_power_of_two(static_cast<Index>(leaves.size())), "tree sum: {} leaves, expected a power of two",
          leaves.size());
    if (leaves.size() == 1) {
        return leaves[0];
    }
    const std::size_t half = leaves.size() / 2;
    const T low = tree_sum(leaves.first(half));
    const T high = tree_sum(leaves.last(half));
    return low + high;
}

// The same sum for leaves that arrive in order: a binary counter whose digit k, where set, holds
// the sum of an aligned block of 2^k leaves.
template <class T>
class TreeSum {
public:
    void add(T leaf) {
        std::size_t level = 0;
        for (std::uint64_t digits = count_; (digits & 1U) != 0; digits >>= 1U) {
            leaf = partial_[level++] + leaf;
        }
        partial_[level] = leaf;
        ++count_;
    }
    [[nodiscard]] Index count() const noexcept { return static_cast<Index>(count_); }
    [[nodiscard]] T sum() const {
        check(std::has_single_bit(count_), "tree sum: {} leaves, expected a power of two", count_);
        return partial_[static_cast<std::size_t>(std::countr_zero(count_))];
    }
    // The sum with the missing leaves up to the next power of two taken as zero; zero without any.
    [[nodiscard]] T sum_padded() const {
        if (std::has_single_bit(count_)) {
            return sum();
        }
        T total{};
        const auto levels = static_cast<std::size_t>(std::bit_width(count_));
        for (std::size_t level = 0; level < levels; ++level) {
            total = ((count_ >> level) & 1U) != 0 ? partial_[level] + total : total + T{};
        }
        return total;
    }
    void reset() noexcept { count_ = 0; }

private:
    std::array<T, 64> partial_{};
    std::uint64_t count_ = 0;
};

// low[i] = low[i] + high[i]: two neighbouring subtrees become one, in the place of the lower.
template <class T>
void tree_add(std::span<T> low, std::span<const T> high) {
    check(low.size() == high.size(), "tree sum: vectors of {} and {} entries", low.size(), high.size());
    T* const a = low.data();
    const T* const b = high.data();
    const std::size_t n = low.size();
    TETHER_INDEPENDENT_ITERATIONS
    for (std::size_t i = 0; i < n; ++i) {
        a[i] = a[i] + b[i];
    }
}

namespace detail {

template <int Leaves, class T>
[[nodiscard]] inline T tree_sum_entry(const T* const* leaves, std::size_t i) {
    if constexpr (Leaves == 1) {
        return leaves[0][i];
    } else {
        const T low = tree_sum_entry<Leaves / 2>(leaves, i);
        const T high = tree_sum_entry<Leaves / 2>(leaves + Leaves / 2, i);
        return low + high;
    }
}

template <int Leaves, class T>
void tree_sum_block(const T* const* leaves, std::size_t begin, std::size_t end, T* out) {
    std::array<const T*, static_cast<std::size_t>(Leaves)> from{};
    std::copy_n(leaves, Leaves, from.begin());
    TETHER_INDEPENDENT_ITERATIONS
    for (std::size_t i = begin; i < end; ++i) {
        out[i] = tree_sum_entry<Leaves>(from.data(), i);
    }
}

} // namespace detail

// out[i] = tree sum over leaves of leaf[i] for i in [begin, end). `out` may be one of the leaves;
// vectors must not overlap otherwise. Disjoint ranges may be summed by different threads.
template <class T>
void tree_sum_vectors(std::span<const T* const> leaves, Index begin, Index end, T* out) {
    const std::size_t n = leaves.size();
    check(is_power_of_two(static_cast<Index>(n)), "tree sum: {} vectors, expected a power of two", n);
    const auto first = static_cast<std::size_t>(begin);
    const auto last = static_cast<std::size_t>(end);
    switch (n) {
    case 1:
        if (out != leaves[0]) {
            std::copy(leaves[0] + first, leaves[0] + last, out + first);
        }
        return;
    case 2: return detail::tree_sum_block<2>(leaves.data(), first, last, out);
    case 4: return detail::tree_sum_block<4>(leaves.data(), first, last, out);
    case 8: return detail::tree_sum_block<8>(leaves.data(), first, last, out);
    default: break;
    }
    // More leaves: blocks of eight form the leaves of a smaller tree, piece by piece in cache.
    constexpr std::size_t piece = 256;
    std::array<TreeSum<T>, piece> sums;
    std::array<T, piece> eight;
    for (std::size_t start = first; start < last; start += piece) {
        const std::size_t count = std::min(piece, last - start);
        for (std::size_t i = 0; i < count; ++i) {
            sums[i].reset();
        }
        for (std::size_t leaf = 0; leaf < n; leaf += 8) {
            std::array<const T*, 8> from{};
            for (std::size_t k = 0; k < 8; ++k) {
                from[k] = leaves[leaf + k] + start;
            }
            detail::tree_sum_block<8>(from.data(), 0, count, eight.data());
            for (std::size_t i = 0; i < count; ++i) {
                sums[i].add(eight[i]);
            }
        }
        for (std::size_t i = 0; i < count; ++i) {
            out[start + i] = sums[i].sum();
        }
    }
}

// TreeSum for vectors: every leaf is written where leaf() points, then add() folds it in. The sum
// ends in `root`, the caller's memory, and log2(leaves) further vectors are kept: nothing is
// copied and nothing allocated after construction. Leaf number i lies at depth popcount(i).
template <class T>
class TreeVectorSum {
public:
    TreeVectorSum(std::span<T> root, Index leaves) : root_(root), leaves_(leaves) {
        check(is_power_of_two(leaves), "tree sum: {} leaves, expected a power of two", leaves);
        const int depth = std::countr_zero(static_cast<std::uint64_t>(leaves));
        scratch_.resize(root.size() * static_cast<std::size_t>(depth));
    }
    [[nodiscard]] std::span<T> leaf() { return at(std::popcount(count_)); }
    void add() {
        check(static_cast<Index>(count_) < leaves_, "tree sum: more than {} leaves", leaves_);
        int depth = std::popcount(count_);
        for (std::uint64_t digits = count_; (digits & 1U) != 0; digits >>= 1U) {
            tree_add<T>(at(depth - 1), at(depth));
            --depth;
        }
        ++count_;
    }
    [[nodiscard]] Index count() const noexcept { return static_cast<Index>(count_); }
    // The root, once all leaves were added; the next leaf() then starts a new sum.
    std::span<T> finish() {
        check(static_cast<Index>(count_) == leaves_, "tree sum: {} leaves were added, expected {}", count_,
              leaves_);
        count_ = 0;
        return root_;
    }

private:
    std::span<T> at(int depth) {
        return depth == 0 ? root_
                          : std::span<T>(scratch_).subspan(root_.size() * static_cast<std::size_t>(depth - 1),
                                                           root_.size());
    }
    std::span<T> root_;
    Index leaves_;
    std::uint64_t count_ = 0;
    std::vector<T> scratch_;
};

} // namespace tether
