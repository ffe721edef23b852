// Exponential, normal distribution and activations in float against the mathematical library in
// double (error bounds as the kernels state them), slopes against differences, in float and double.
#include "tether/kernels/activation.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace tether::kernels {
namespace {

// Dense near zero, both signs, to where everything is saturated.
std::vector<float> arguments(float most) {
    std::vector<float> x{0.0F, -0.0F};
    for (float size = 1e-6F; size < most; size *= 1.003F) {
        x.push_back(size);
        x.push_back(-size);
    }
    return x;
}

TEST(Scalar, exponential_in_float) {
    double worst = 0;
    for (const float x : arguments(87.0F)) {
        const double expected = std::exp(static_cast<double>(x));
        worst = std::max(worst, std::abs(static_cast<double>(exponential(x)) - expected) / expected);
    }
    EXPECT_LT(worst, 2e-7);
    EXPECT_EQ(exponential(0.0F), 1.0F);
    // Beyond the range: finite, and small or large.
    EXPECT_GT(exponential(1000.0F), 1e38F);
    EXPECT_TRUE(std::isfinite(exponential(1000.0F)));
    EXPECT_LT(exponential(-1000.0F), 2e-38F);
    EXPECT_GE(exponential(-1000.0F), 0.0F);
}

TEST(Scalar, normal_distribution_in_float) {
    for (const float x : arguments(12.0F)) {
        const double at = static_cast<double>(x);
        const Normal<float> found = normal(x);
        const double distribution = 0.5 * std::erfc(-at / std::sqrt(2.0));
        const double density = std::exp(-0.5 * at * at) / std::sqrt(2 * std::acos(-1.0));
        // The tail keeps its relative error but for the rounding of x²/2, which grows with it.
        const double bound = 1e-6 + 0.7e-7 * at * at;
        ASSERT_NEAR(static_cast<double>(found.distribution), distribution, bound * distribution + 1e-37)
            << "x = " << x;
        ASSERT_NEAR(static_cast<double>(found.density), density, bound * density + 1e-37) << "x = " << x;
        const Normal<double> exact = normal(at);
        ASSERT_NEAR(exact.distribution, distribution, 1e-15);
        ASSERT_NEAR(exact.density, density, 1e-15);
    }
}

struct Pair {
    double value, slope;
};

// With std:: functions only.
Pair expected(Activation kind, double x) {
    const double s = x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
    switch (kind) {
    case Activation::silu: return {x * s, s + x * s * (1 - s)};
    case Activation::gelu: {
        const double phi = 0.5 * (1 + std::erf(x / std::sqrt(2.0)));
        return {x * phi, phi + x * std::exp(-0.5 * x * x) / std::sqrt(2 * std::acos(-1.0))};
    }
    case Activation::sigmoid: return {s, s * (1 - s)};
    case Activation::tanh: return {std::tanh(x), 1 - std::tanh(x) * std::tanh(x)};
    case Activation::relu: return {std::fmax(x, 0.0), x > 0 ? 1.0 : 0.0};
    case Activation::leaky_relu: return {x > 0 ? x : 0.01 * x, x > 0 ? 1.0 : 0.01};
    case Activation::none: break;
    }
    return {x, 1};
}

constexpr Activation every[] = {Activation::none,      Activation::silu, Activation::gelu,
                                Activation::sigmoid,   Activation::tanh, Activation::relu,
                                Activation::leaky_relu};

TEST(Scalar, activations_and_slopes) {
    for (const Activation kind : every) {
        with_activation(kind, [&]<Activation k>() {
            EXPECT_EQ(k, kind);
            for (const float x : arguments(60.0F)) {
                const double at = static_cast<double>(x);
                const Pair e = expected(kind, at);
                const ValueSlope<float> single = activate<k>(x);
                const double scale = std::max(1.0, std::abs(at));
                ASSERT_NEAR(static_cast<double>(single.value), e.value, 4e-7 * scale)
                    << static_cast<int>(kind) << " at " << x;
                ASSERT_NEAR(static_cast<double>(single.slope), e.slope, 1e-6)
                    << static_cast<int>(kind) << " at " << x;
                const ValueSlope<double> twice = activate<k>(at);
                ASSERT_NEAR(twice.value, e.value, 1e-14 * scale);
                ASSERT_NEAR(twice.slope, e.slope, 1e-13);
            }
        });
    }
}

TEST(Scalar, slopes_are_differences_of_values) {
    for (const Activation kind : every) {
        with_activation(kind, [&]<Activation k>() {
            for (double x = -9.03; x < 9; x += 0.1) {
                constexpr double h = 1e-5;
                const double difference = (activate<k>(x + h).value - activate<k>(x - h).value) / (2 * h);
                ASSERT_NEAR(activate<k>(x).slope, difference, 1e-9) << static_cast<int>(kind) << " at " << x;
            }
        });
    }
}

TEST(Scalar, activations_stay_finite_far_out) {
    for (const Activation kind : every) {
        with_activation(kind, [&]<Activation k>() {
            for (const float x : {-3e4F, -88.1F, 88.1F, 3e4F, 1e20F, -1e20F}) {
                EXPECT_TRUE(std::isfinite(activate<k>(x).value)) << static_cast<int>(kind) << " at " << x;
                EXPECT_TRUE(std::isfinite(activate<k>(x).slope)) << static_cast<int>(kind) << " at " << x;
            }
        });
    }
}

} // namespace
} // namespace tether::kernels
