// The measurement of a device's peaks runs and computes what it claims to.
#include "tether/kernels/device_peaks.hpp"
#include "tether/kernels/launchers.hpp"

#include <gtest/gtest.h>

namespace tether::kernels {
namespace {

TEST(DevicePeaks, are_measured_by_launches) {
    const auto backend = device::make_emulation();
    const DevicePeaks peaks = measure_peaks(
        *backend,
        {.copied = 1000, .threads = 50, .rounds = 10, .rows = 40, .columns = 70, .inner = 20, .repeats = 3});
    EXPECT_GT(peaks.gbs, 0);
    EXPECT_GT(peaks.gflops, 0);
    EXPECT_GT(peaks.product_gflops, 0);
    EXPECT_EQ(backend->counts().launches, 3 * 3 * 4);
    EXPECT_TRUE(listed_functors().contains(typeid(FusedChains<float>)));
}

TEST(DevicePeaks, chains_are_not_optimised_away) {
    float out[3];
    const FusedChains<float> f{0.5F, 2, out};
    f(2);
    float expected = 0;
    for (int k = 0; k < 16; ++k) {
        expected += (static_cast<float>(2 + k) * 0.5F + 1) * 0.5F + 1;
    }
    EXPECT_EQ(out[2], expected);
}

} // namespace
} // namespace tether::kernels
