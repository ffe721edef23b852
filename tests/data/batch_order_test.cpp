// The batch of a step depends on (seed, step) only, and an epoch shows every sample once.
#include "tether/data/batch_order.hpp"

#include "tests/data/support.hpp"

#include <algorithm>
#include <array>
#include <numeric>

namespace tether::data {
namespace {

std::vector<Index> range(Index first, Index count) {
    std::vector<Index> out(static_cast<std::size_t>(count));
    std::iota(out.begin(), out.end(), first);
    return out;
}

std::vector<Index> copy(std::span<const Index> batch) { return {batch.begin(), batch.end()}; }

TEST(BatchOrder, AnEpochShowsEverySampleOnce) {
    const std::vector<Index> samples = range(50, 103);
    BatchOrder order(samples, 10, 7);
    EXPECT_EQ(order.steps_per_epoch(), 11);
    std::vector<std::vector<Index>> epochs;
    for (Index epoch = 0; epoch < 3; ++epoch) {
        std::vector<Index> seen;
        for (Index k = 0; k < 11; ++k) {
            const auto batch = order.batch(epoch * 11 + k);
            EXPECT_EQ(batch.size(), k == 10 ? 3U : 10U);
            seen.insert(seen.end(), batch.begin(), batch.end());
        }
        epochs.push_back(seen);
        std::ranges::sort(seen);
        EXPECT_EQ(seen, samples);
    }
    EXPECT_NE(epochs[0], epochs[1]);
    EXPECT_NE(epochs[1], epochs[2]);
    EXPECT_NE(epochs[0], samples);
}

TEST(BatchOrder, DependsOnSeedAndStepOnly) {
    const std::vector<Index> samples = range(0, 3000);
    BatchOrder forward(samples, 100, 1);
    EXPECT_EQ(forward.steps_per_epoch(), 30);
    std::vector<std::vector<Index>> all;
    for (Index step = 0; step < 90; ++step) {
        all.push_back(copy(forward.batch(step)));
    }
    BatchOrder backward(samples, 100, 1);
    for (Index step = 89; step >= 0; --step) {
        EXPECT_EQ(copy(backward.batch(step)), all[static_cast<std::size_t>(step)]);
    }
    BatchOrder other(samples, 100, 2);
    EXPECT_NE(copy(other.batch(0)), all[0]);
}

// Part of the promise that a run can be repeated: this order must never change.
TEST(BatchOrder, IsTheSameForEver) {
    const std::vector<Index> samples = range(0, 8);
    BatchOrder order(samples, 8, 42);
    EXPECT_EQ(copy(order.batch(0)), (std::vector<Index>{2, 7, 5, 1, 6, 3, 0, 4}));
    EXPECT_EQ(copy(order.batch(1)), (std::vector<Index>{1, 4, 3, 7, 6, 5, 2, 0}));
}

TEST(BatchOrder, DropLastAndImpossibleSizes) {
    const std::vector<Index> samples = range(0, 25);
    EXPECT_EQ(BatchOrder(samples, 10, 0, true).steps_per_epoch(), 2);
    EXPECT_EQ(BatchOrder(samples, 100, 0).steps_per_epoch(), 1);
    EXPECT_TRUE(contains(error_of([&] { BatchOrder(samples, 100, 0, true); }, ExitCode::usage), "drop_last"));
    EXPECT_TRUE(contains(error_of([&] { BatchOrder(samples, 0, 0); }, ExitCode::usage), "batch size 0"));
    EXPECT_TRUE(contains(error_of([&] { BatchOrder({}, 1, 0); }, ExitCode::usage), "no samples"));
}

// Every sample is equally likely to come first.
TEST(BatchOrder, IsFair) {
    const std::vector<Index> samples = range(0, 4);
    BatchOrder order(samples, 4, 3);
    std::array<int, 4> first{};
    for (Index epoch = 0; epoch < 4000; ++epoch) {
        ++first[static_cast<std::size_t>(order.batch(epoch)[0])];
    }
    for (const int count : first) {
        EXPECT_NEAR(count, 1000, 5 * 27.4); // five standard deviations
    }
}

} // namespace
} // namespace tether::data
