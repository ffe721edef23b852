// Equivariance errors against values worked out by hand, and against the definitions on random data.
#include "tether/methods/measure.hpp"

#include "tether/core/error.hpp"
#include "tether/core/philox.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace tether::methods {
namespace {

TEST(EquivarianceMeasure, agrees_with_a_case_worked_out_by_hand) {
    // Two samples: rows 0, 1 and row 2; width 2; two group elements.
    EquivarianceMeasure measure;
    const std::vector<double> output{3, 4, 0, 5, 5, 0}; // row norms 5
    measure.begin(std::span<const double>(output), 2, std::vector<std::int32_t>{0, 2, 3});
    const std::vector<double> zero(6, 0.0);
    const std::vector<double> first{3, 4, 0, 0, 6, 8};    // row norms 5, 0, 10; samples 5, 10
    const std::vector<double> second{-3, -4, 0, 2, 0, 0}; // row norms 5, 2, 0; samples sqrt(29), 0
    measure.add(std::span<const double>(first), std::span<const double>(zero));
    measure.add(std::span<const double>(zero), std::span<const double>(second)); // d = -second
    const EquivarianceError e = measure.sums().error();
    EXPECT_DOUBLE_EQ(e.mean, (5 + 0 + 10 + 5 + 2 + 0) / 6.0);
    EXPECT_DOUBLE_EQ(e.minimum, 0);
    EXPECT_DOUBLE_EQ(e.maximum, 8);
    EXPECT_DOUBLE_EQ(e.relative, e.mean / 5);
    EXPECT_DOUBLE_EQ(e.sample_mean, (5 + 10 + std::sqrt(29.0) + 0) / 4);
    // Averages over g: sample 0 rows (3, 4), (0, -1); sample 1 row (3, 4).
    EXPECT_DOUBLE_EQ(e.averaged, (std::sqrt(26.0) + 5) / 2);
}

template <class T>
class MeasureOf : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(MeasureOf, Precisions);

TYPED_TEST(MeasureOf, parts_add_up_to_the_whole) {
    RandomStream random(3, Purpose::test);
    const std::vector<std::int32_t> begin{0, 3, 4, 9};
    const std::size_t width = 3;
    const int elements = 4;
    const auto draw = [&] {
        std::vector<TypeParam> values(9 * width);
        std::ranges::generate(values, [&] { return static_cast<TypeParam>(random.normal()); });
        return values;
    };
    const auto output = draw();
    std::vector<std::vector<TypeParam>> a;
    std::vector<std::vector<TypeParam>> b;
    for (int g = 0; g < elements; ++g) {
        a.push_back(draw());
        b.push_back(draw());
    }
    const auto part = [&](std::int32_t first, std::int32_t last, std::vector<std::int32_t> samples) {
        EquivarianceMeasure measure;
        const auto from = static_cast<std::size_t>(first) * width;
        const auto count = static_cast<std::size_t>(last - first) * width;
        const auto cut = [&](const std::vector<TypeParam>& v) {
            return std::span<const TypeParam>(v).subspan(from, count);
        };
        measure.begin(cut(output), static_cast<Index>(width), samples);
        for (std::size_t g = 0; g < a.size(); ++g) {
            measure.add(cut(a[g]), cut(b[g]));
        }
        return measure.sums();
    };
    const EquivarianceError whole = part(0, 9, begin).error();
    EquivarianceSums sums = part(0, 4, {0, 3, 4});
    sums += part(4, 9, {0, 5});
    sums += EquivarianceSums{}; // a lane without rows
    const EquivarianceError parts = sums.error();
    EXPECT_NEAR(whole.mean, parts.mean, 1e-14 * whole.mean);
    EXPECT_EQ(whole.minimum, parts.minimum);
    EXPECT_EQ(whole.maximum, parts.maximum);
    EXPECT_NEAR(whole.relative, parts.relative, 1e-14 * whole.relative);
    EXPECT_NEAR(whole.sample_mean, parts.sample_mean, 1e-14 * whole.sample_mean);
    EXPECT_NEAR(whole.averaged, parts.averaged, 1e-14 * whole.averaged);
    EXPECT_LT(whole.averaged, whole.sample_mean) << "averaging differences of either sign makes them smaller";
    EXPECT_GT(whole.minimum, 0);
}

TEST(EquivarianceMeasure, nothing_is_zero_and_nan_is_nan) {
    const EquivarianceError none = EquivarianceSums{}.error();
    EXPECT_EQ(none.mean, 0);
    EXPECT_EQ(none.minimum, 0);
    EXPECT_EQ(none.averaged, 0);
    EquivarianceMeasure measure;
    const std::vector<double> output{1};
    measure.begin(std::span<const double>(output), 1, std::vector<std::int32_t>{0, 1});
    const std::vector<double> nan{std::numeric_limits<double>::quiet_NaN()};
    measure.add(std::span<const double>(nan), std::span<const double>(output));
    const EquivarianceError e = measure.sums().error();
    for (const double value : {e.mean, e.minimum, e.maximum, e.relative, e.sample_mean, e.averaged}) {
        EXPECT_TRUE(std::isnan(value));
    }
    EXPECT_THROW(measure.add(std::span<const double>(nan), std::span<const double>{}), Error);
    EXPECT_THROW(measure.begin(std::span<const double>(output), 2, std::vector<std::int32_t>{0, 1}), Error);
}

} // namespace
} // namespace tether::methods
