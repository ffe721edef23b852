// Figures of sites against maps whose constants are known.
#include "tether/methods/site_measure.hpp"

#include "tether/core/error.hpp"
#include "tether/core/philox.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace tether::methods {
namespace {

std::vector<double> scaled(std::vector<double> values, double factor) {
    for (double& v : values) {
        v *= factor;
    }
    return values;
}

SiteRows multiples(const std::vector<double>& entering, double equivariant, double free) {
    return {entering, scaled(entering, equivariant), scaled(entering, free)};
}

TEST(SiteMeasure, MultiplesHaveTheirFactorsAsConstants) {
    const std::vector<std::int32_t> begin{0, 2, 4, 5};
    const std::vector<double> z{1, 2, 2, 0, 0, 0, 3, 4, 1, 0, 0, 0}; // 5 rows do not divide 12
    SiteMeasure measure(2);
    EXPECT_THROW(measure.add(0, multiples(z, 1, 1), multiples(z, 1, 1), begin), Error);
    const std::vector<double> five{1, 2, 2, 0, 0, 0, 3, 4, 1, 7};
    const std::vector<double> turned = scaled(five, -1);
    measure.add(0, multiples(five, 3, -0.5), multiples(turned, 3, -0.5), begin);
    measure.add(1, multiples(five, 0.25, 2), multiples(turned, 0.25, 2), begin);
    const SiteFigures& f = measure.figures();
    for (const auto& [found, expected] :
         {std::pair{f.ratio, std::vector{0.5 / 3, 8.0}}, std::pair{f.free_size, std::vector{0.5, 2.0}},
          std::pair{f.lipschitz, std::vector{3.0, 0.25}},
          std::pair{f.free_lipschitz, std::vector{0.5, 2.0}}}) {
        for (std::size_t i = 0; i < 2; ++i) {
            EXPECT_NEAR(found[i], expected[i], 1e-14);
        }
    }
    EXPECT_NEAR(f.input_norm, std::sqrt(50.0), 1e-14); // of the last sample, 1 and 7
    const std::vector<double> gamma{0.1, -0.4};
    const BoundConstants c = estimated_constants(f, gamma);
    EXPECT_EQ(c.gate, 0.4);
    EXPECT_EQ(c.sites, 2);
    EXPECT_NEAR(c.lipschitz, 3, 1e-14);
    EXPECT_NEAR(c.free_lipschitz, 2, 1e-14);
    EXPECT_NEAR(c.free_size, 2, 1e-14);
    EXPECT_THROW(measure.add(2, multiples(five, 1, 1), multiples(five, 1, 1), begin), Error);
}

TEST(SiteMeasure, WhatATurnLeavesWhereItIsTellsNothing) {
    SiteMeasure measure(1);
    const std::vector<std::int32_t> begin{0, 1, 3}; // no neighbours of equal size
    const std::vector<double> z{1, 2, 3};
    SiteRows rounding = multiples(z, 2, 2);
    rounding.equivariant[0] += 1e-7; // divided by a change of 1e-9 this would be 100
    rounding.entering[0] += 1e-9;
    measure.add(0, multiples(z, 2, 2), rounding, begin);
    EXPECT_EQ(measure.figures().lipschitz[0], 0);
    EXPECT_EQ(measure.figures().free_lipschitz[0], 0);
    EXPECT_NEAR(measure.figures().free_size[0], 2, 1e-14);
}

// Of a linear map in the plane the largest observed ratio comes close to the largest stretch, from below.
TEST(SiteMeasure, EstimatesApproachALinearMapsConstantsFromBelow) {
    RandomStream random(3, Purpose::test);
    constexpr std::size_t samples = 400;
    std::vector<std::int32_t> begin{0};
    SiteRows plain, turned;
    for (std::size_t s = 0; s < samples; ++s) {
        begin.push_back(static_cast<std::int32_t>(s + 1));
        const double x = random.normal();
        const double y = random.normal();
        for (const auto& [rows, a, b] : {std::tuple{&plain, x, y}, std::tuple{&turned, -y, x}}) {
            rows->entering.insert(rows->entering.end(), {a, b});
            rows->equivariant.insert(rows->equivariant.end(), {3 * a, 0.5 * b}); // largest stretch 3
            rows->free.insert(rows->free.end(), {a + b, 0});                     // sqrt 2
        }
    }
    SiteMeasure measure(1);
    measure.add(0, plain, turned, begin);
    const SiteFigures& f = measure.figures();
    EXPECT_LE(f.lipschitz[0], 3 + 1e-12);
    EXPECT_GT(f.lipschitz[0], 2.99);
    EXPECT_LE(f.free_lipschitz[0], std::sqrt(2.0) + 1e-12);
    EXPECT_GT(f.free_lipschitz[0], 1.41);
    EXPECT_LE(f.free_size[0], std::sqrt(2.0) + 1e-12);
    EXPECT_GT(f.free_size[0], 1.41);
}

} // namespace
} // namespace tether::methods
