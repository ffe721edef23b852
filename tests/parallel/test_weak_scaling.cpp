// The model of weak scaling: against what others measured, by hand, and in what it must always say.
#include "tests/benchmark/weak_scaling.hpp"

#include <gtest/gtest.h>

namespace tether::benchmark {
namespace {

TEST(WeakScaling, one_node_takes_what_was_measured) {
    const double us = all_reduce_us(3.75e6, 8, 1);
    EXPECT_GT(us, 42);
    EXPECT_LT(us, 62);
    // 476 GB/s were the most that was seen on the bus.
    const double bytes = 1e9;
    EXPECT_LT(bytes * 2 * 7 / 8 / all_reduce_us(bytes, 8, 1) * 1e-3, 476);
}

TEST(WeakScaling, by_hand) {
    const Links links{
        .nvlink_gbs = 100, .port_gbs = 10, .start_us = 1, .nvlink_us = 2, .network_us = 3, .reached = 1};
    EXPECT_NEAR(all_reduce_us(7000, 2, 1, links), 1 + 4 + 7 * 2 / (0.9 * 100 * 7 / 9), 1e-12);
    EXPECT_NEAR(all_reduce_us(7000, 2, 4, links), 1 + 4 + 12 + 7 * 2 / (0.9 * 20 * 120 / 128), 1e-12);
    // One bucket begins at the end of the backward pass and is exposed whole.
    const Step step{100, 200, 50, 7000};
    const Scaling s = scale(step, 2, 4, 7000, links);
    EXPECT_EQ(s.buckets, 1);
    EXPECT_NEAR(s.exposed_us, all_reduce_us(7000, 2, 4, links), 1e-12);
    EXPECT_NEAR(s.efficiency, 350 / (350 + s.exposed_us), 1e-12);
}

TEST(WeakScaling, buckets_hide_all_but_the_last_where_the_backward_pass_is_long) {
    const Step step{1000, 10000, 100, 4e6};
    const Scaling s = scale(step, 8, 16, 1e6);
    EXPECT_EQ(s.buckets, 4);
    EXPECT_NEAR(s.exposed_us, all_reduce_us(1e6, 8, 16), 1e-9);
    EXPECT_GE(best(step, 8, 16).efficiency, s.efficiency);
}

TEST(WeakScaling, more_devices_never_help_and_one_exposes_nothing) {
    const Step step{50, 90, 10, 3.75e6};
    EXPECT_EQ(best(step, 1, 1).efficiency, 1);
    double last = 1;
    for (int nodes = 1; nodes <= 16; nodes *= 2) {
        const double now = best(step, 8, nodes).efficiency;
        EXPECT_LT(now, last);
        last = now;
    }
}

} // namespace
} // namespace tether::benchmark
