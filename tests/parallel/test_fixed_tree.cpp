// The fixed tree against a plain recursive sum, bit by bit, and its independence of who adds what.
#include "tests/parallel/world.hpp"
#include "tether/core/fixed_tree.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace tether {
namespace {

// Independent of the code under test: an explicit list, shortened pair by pair.
template <class T>
T reference_sum(std::vector<T> values) {
    while (values.size() > 1) {
        std::vector<T> next;
        for (std::size_t i = 0; i < values.size(); i += 2) {
            next.push_back(values[i] + values[i + 1]);
        }
        values = next;
    }
    return values[0];
}

template <class T>
class FixedTree : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(FixedTree, Reals);

TYPED_TEST(FixedTree, all_ways_of_summing_give_the_bits_of_the_reference) {
    using T = TypeParam;
    constexpr std::size_t width = 701; // more than one piece, odd
    for (std::size_t leaves = 1; leaves <= 64; leaves *= 2) {
        std::vector<std::vector<T>> vectors;
        std::vector<const T*> pointers;
        for (std::size_t leaf = 0; leaf < leaves; ++leaf) {
            vectors.push_back(test::wild_numbers<T>(leaf, width));
        }
        for (const auto& vector : vectors) {
            pointers.push_back(vector.data());
        }
        std::vector<T> expected;
        for (std::size_t i = 0; i < width; ++i) {
            std::vector<T> column;
            for (const auto& vector : vectors) {
                column.push_back(vector[i]);
            }
            expected.push_back(reference_sum(column));
            EXPECT_EQ(tree_sum<T>(column), expected.back());
            TreeSum<T> counter;
            for (const T value : column) {
                counter.add(value);
            }
            EXPECT_EQ(counter.sum(), expected.back());
            EXPECT_EQ(counter.sum_padded(), expected.back());
        }
        std::vector<T> out(width);
        tree_sum_vectors<T>(pointers, 0, 300, out.data());
        tree_sum_vectors<T>(pointers, 300, width, out.data());
        EXPECT_TRUE(test::same_bits<T>(out, expected)) << leaves << " leaves";

        std::vector<T> root(width);
        TreeVectorSum<T> sum(root, static_cast<Index>(leaves));
        for (int round = 0; round < 2; ++round) { // used again for the next step
            for (const auto& vector : vectors) {
                std::ranges::copy(vector, sum.leaf().begin());
                sum.add();
            }
            EXPECT_TRUE(test::same_bits<T>(sum.finish(), expected)) << leaves << " leaves";
        }
        std::vector<T> in_place = vectors[0];
        pointers[0] = in_place.data();
        tree_sum_vectors<T>(pointers, 0, width, in_place.data());
        EXPECT_TRUE(test::same_bits<T>(in_place, expected)) << leaves << " leaves";
    }
}

TYPED_TEST(FixedTree, blocks_of_leaves_are_subtrees) {
    using T = TypeParam;
    int order_matters = 0;
    for (std::uint64_t set = 0; set < 20; ++set) {
        const std::vector<T> leaves = test::wild_numbers<T>(set, 64);
        const T expected = reference_sum(leaves);
        T sequential{};
        for (const T leaf : leaves) {
            sequential += leaf;
        }
        order_matters += sequential != expected ? 1 : 0;
        for (std::size_t parts = 1; parts <= 64; parts *= 2) {
            std::vector<T> roots;
            for (std::size_t part = 0; part < parts; ++part) {
                roots.push_back(tree_sum<T>(std::span(leaves).subspan(part * 64 / parts, 64 / parts)));
            }
            EXPECT_EQ(tree_sum<T>(roots), expected);
        }
    }
    EXPECT_GT(order_matters, 10) << "these numbers cannot tell one order from another";
}

TYPED_TEST(FixedTree, missing_leaves_count_as_zero_only_where_asked) {
    using T = TypeParam;
    for (std::size_t count = 0; count <= 64; ++count) {
        std::vector<T> leaves = test::wild_numbers<T>(5, count);
        TreeSum<T> sum;
        for (const T leaf : leaves) {
            sum.add(leaf);
        }
        EXPECT_EQ(sum.count(), static_cast<Index>(count));
        leaves.resize(std::bit_ceil(std::max<std::size_t>(count, 1)));
        EXPECT_EQ(sum.sum_padded(), reference_sum(leaves)) << count;
        if (!std::has_single_bit(count)) {
            EXPECT_THROW((void)sum.sum(), Error);
            EXPECT_THROW((void)tree_sum<T>(std::span(leaves).first(count)), Error);
        }
    }
}

TEST(FixedTreeErrors, say_what_was_found) {
    std::vector<float> root(4);
    EXPECT_THROW(TreeVectorSum<float>(root, 3), Error);
    TreeVectorSum<float> sum(root, 2);
    sum.add();
    EXPECT_THROW(sum.finish(), Error);
    sum.add();
    EXPECT_THROW(sum.add(), Error);
    const std::array<const float*, 3> three{root.data(), root.data(), root.data()};
    try {
        tree_sum_vectors<float>(three, 0, 4, root.data());
        FAIL();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "tree sum: 3 vectors, expected a power of two");
    }
}

} // namespace
} // namespace tether
