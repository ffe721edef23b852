// Spherical harmonics to l = 6: textbook low degrees, equivariance, orthonormality, slopes by finite
// differences, tiny and huge vectors, single precision.
#include "tether/symmetry/harmonics.hpp"

#include "tether/core/error.hpp"
#include "tether/symmetry/groups.hpp"
#include "tether/symmetry/wigner.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

namespace tether::symmetry {
namespace {

constexpr int columns = 49;
using Row = std::array<double, columns>;
constexpr std::array all_normalisations{Normalisation::component, Normalisation::norm,
                                        Normalisation::integral};

RandomStream stream(std::uint64_t sample) { return {77, Purpose::test, 1, sample}; }

Row harmonics(const Vector3& v, Normalisation normalisation = Normalisation::component) {
    Row y{};
    kernels::spherical_harmonics(v.data(), 6, normalisation, y.data());
    return y;
}

Vector3 normal_vector(RandomStream& random, double length = 1) {
    Vector3 v{};
    for (double& component : v) {
        component = length * random.normal();
    }
    return v;
}

TEST(SphericalHarmonics, low_degrees_are_the_textbook_ones) {
    RandomStream random = stream(0);
    const Vector3 v = normal_vector(random);
    const double r = std::hypot(v[0], v[1], v[2]);
    const double x = v[0] / r, y = v[1] / r, z = v[2] / r;
    const Row found = harmonics(v);
    const double s3 = std::sqrt(3.0), s5 = std::sqrt(5.0), s15 = std::sqrt(15.0);
    const std::array<double, 9> expected{1,
                                         s3 * x,
                                         s3 * y,
                                         s3 * z,
                                         s15 * x * z,
                                         s15 * x * y,
                                         s5 * (y * y - 0.5 * (x * x + z * z)),
                                         s15 * y * z,
                                         0.5 * s15 * (z * z - x * x)};
    for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(found[i], expected[i], 1e-14) << i;
    }
}

TEST(SphericalHarmonics, turn_with_the_vector) {
    const Irreps irreps = Irreps::spherical(6);
    RandomStream random = stream(1);
    for (int trial = 0; trial < 50; ++trial) {
        const Vector3 v = normal_vector(random);
        const O3Element g = random_o3(random);
        const Matrix r = g.matrix();
        Vector3 turned{};
        for (Index i = 0; i < 3; ++i) {
            for (Index j = 0; j < 3; ++j) {
                turned[static_cast<std::size_t>(i)] += r(i, j) * v[static_cast<std::size_t>(j)];
            }
        }
        for (const Normalisation normalisation : all_normalisations) {
            const Row y = harmonics(v, normalisation);
            Row expected{};
            transform_features<double>(irreps, g, Layout::published, y, expected);
            const Row found = harmonics(turned, normalisation);
            for (std::size_t i = 0; i < columns; ++i) {
                EXPECT_NEAR(found[i], expected[i], 2e-14) << "column " << i;
            }
        }
    }
}

TEST(SphericalHarmonics, norms_are_as_named) {
    RandomStream random = stream(2);
    const Vector3 v = normal_vector(random);
    for (const Normalisation normalisation : all_normalisations) {
        const Row y = harmonics(v, normalisation);
        for (int l = 0; l <= 6; ++l) {
            double square = 0;
            const int first = l * l;
            for (int at = first; at < first + 2 * l + 1; ++at) {
                const double value = y[static_cast<std::size_t>(at)];
                square += value * value;
            }
            const double component = 2 * l + 1;
            const double expected = normalisation == Normalisation::component ? component
                                    : normalisation == Normalisation::norm
                                        ? 1
                                        : component / (4 * std::numbers::pi);
            EXPECT_NEAR(square, expected, 1e-13 * expected) << l;
        }
    }
}

// Product quadrature exact to degree 12: Gauss-Legendre in u_y (nodes by Newton), uniform around it.
TEST(SphericalHarmonics, orthonormal_on_the_sphere) {
    constexpr int nodes = 8, turns = 16;
    std::vector<double> gram(columns * columns, 0.0);
    for (int i = 0; i < nodes; ++i) {
        double t = std::cos(std::numbers::pi * (i + 0.75) / (nodes + 0.5));
        double slope = 0;
        for (int step = 0; step < 20; ++step) {
            double before = 1, last = t;
            for (int l = 2; l <= nodes; ++l) {
                const double next = ((2 * l - 1) * t * last - (l - 1) * before) / l;
                before = last;
                last = next;
            }
            slope = nodes * (before - t * last) / (1 - t * t);
            t -= last / slope;
        }
        const double weight = 1 / ((1 - t * t) * slope * slope) / turns; // Σ over the sphere: 1
        for (int k = 0; k < turns; ++k) {
            const double phi = 2 * std::numbers::pi * k / turns;
            const double s = std::sqrt(1 - t * t);
            const Row y = harmonics({s * std::sin(phi), t, s * std::cos(phi)});
            for (std::size_t a = 0; a < columns; ++a) {
                for (std::size_t b = 0; b < columns; ++b) {
                    gram[a * columns + b] += weight * y[a] * y[b];
                }
            }
        }
    }
    for (std::size_t a = 0; a < columns; ++a) {
        for (std::size_t b = 0; b < columns; ++b) {
            EXPECT_NEAR(gram[a * columns + b], a == b ? 1 : 0, 1e-13) << a << " " << b;
        }
    }
}

TEST(SphericalHarmonics, slopes_agree_with_finite_differences) {
    RandomStream random = stream(3);
    for (int lmax = 0; lmax <= 6; ++lmax) {
        const int count = kernels::harmonic_columns(lmax);
        for (const Normalisation normalisation : all_normalisations) {
            const Vector3 v = normal_vector(random, 0.7);
            Row cotangent{};
            for (double& value : cotangent) {
                value = random.normal();
            }
            const auto loss = [&](const Vector3& at) {
                Row y{};
                kernels::spherical_harmonics(at.data(), lmax, normalisation, y.data());
                double sum = 0;
                for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
                    sum += cotangent[i] * y[i];
                }
                return sum;
            };
            Vector3 slope{1, 2, 3}; // adds to what is there
            kernels::spherical_harmonics_backward(v.data(), lmax, normalisation, cotangent.data(),
                                                  slope.data());
            const double h = 1e-3 * std::hypot(v[0], v[1], v[2]);
            for (std::size_t i = 0; i < 3; ++i) {
                const auto moved = [&](double by) {
                    Vector3 at = v;
                    at[i] += by * h;
                    return loss(at);
                };
                // sixth order
                const double expected =
                    (45 * (moved(1) - moved(-1)) - 9 * (moved(2) - moved(-2)) + (moved(3) - moved(-3))) /
                    (60 * h);
                EXPECT_NEAR(slope[i] - static_cast<double>(i + 1), expected, 1e-9 * (1 + std::abs(expected)))
                    << "lmax " << lmax << " component " << i;
            }
            // The direction does not change along the vector.
            const double along = (slope[0] - 1) * v[0] + (slope[1] - 2) * v[1] + (slope[2] - 3) * v[2];
            EXPECT_NEAR(along, 0, 1e-13 * (1 + std::abs(slope[0]) + std::abs(slope[1]) + std::abs(slope[2])));
        }
    }
}

TEST(SphericalHarmonics, every_lmax_gives_the_same_columns) {
    RandomStream random = stream(4);
    const Vector3 v = normal_vector(random);
    const Row all = harmonics(v);
    for (int lmax = 0; lmax <= 6; ++lmax) {
        Row some;
        some.fill(-7);
        kernels::spherical_harmonics(v.data(), lmax, Normalisation::component, some.data());
        const auto count = static_cast<std::size_t>(kernels::harmonic_columns(lmax));
        for (std::size_t i = 0; i < columns; ++i) {
            EXPECT_NEAR(some[i], i < count ? all[i] : -7, 1e-14) << "lmax " << lmax << " column " << i;
        }
    }
}

TEST(SphericalHarmonics, zero_tiny_huge_and_broken_vectors) {
    const Row zero = harmonics({0, -0.0, 0}, Normalisation::integral);
    EXPECT_DOUBLE_EQ(zero[0], 0.5 / std::sqrt(std::numbers::pi));
    for (std::size_t i = 1; i < columns; ++i) {
        EXPECT_EQ(zero[i], 0);
    }
    Row ones;
    ones.fill(1);
    const Vector3 origin{0, 0, 0};
    Vector3 slope{0, 0, 0};
    kernels::spherical_harmonics_backward(origin.data(), 6, Normalisation::norm, ones.data(), slope.data());
    EXPECT_EQ(slope, origin);

    const Vector3 v{0.3, -0.4, 1.2};
    const Row expected = harmonics(v);
    for (const double length : {1e-300, 1e-160, 1e160, 1e300}) {
        const Vector3 scaled{length * v[0], length * v[1], length * v[2]};
        const Row found = harmonics(scaled);
        for (std::size_t i = 0; i < columns; ++i) {
            EXPECT_NEAR(found[i], expected[i], 1e-14) << length;
        }
    }
    const double nan = std::numeric_limits<double>::quiet_NaN();
    for (const Vector3& broken :
         {Vector3{nan, 0, 0}, Vector3{0, nan, 0}, Vector3{0, 0, nan}, Vector3{1, nan, 2}}) {
        EXPECT_TRUE(std::isnan(harmonics(broken)[1])) << "a NaN must not pass for a zero vector";
    }
}

TEST(SphericalHarmonics, single_precision) {
    RandomStream random = stream(5);
    for (int trial = 0; trial < 200; ++trial) {
        const Vector3 v = normal_vector(random, trial % 2 == 0 ? 1.0 : 1e-22); // squares underflow in float
        const std::array<float, 3> f{static_cast<float>(v[0]), static_cast<float>(v[1]),
                                     static_cast<float>(v[2])};
        const Vector3 rounded{f[0], f[1], f[2]};
        std::array<float, columns> y{}, cotangent{};
        kernels::spherical_harmonics(f.data(), 6, Normalisation::component, y.data());
        const Row expected = harmonics(rounded);
        Row wide{};
        for (std::size_t i = 0; i < columns; ++i) {
            EXPECT_NEAR(y[i], expected[i], 5e-6) << i;
            cotangent[i] = static_cast<float>(random.normal());
            wide[i] = cotangent[i];
        }
        std::array<float, 3> slope{};
        Vector3 wide_slope{};
        kernels::spherical_harmonics_backward(f.data(), 6, Normalisation::component, cotangent.data(),
                                              slope.data());
        kernels::spherical_harmonics_backward(rounded.data(), 6, Normalisation::component, wide.data(),
                                              wide_slope.data());
        const double scale =
            std::max({std::abs(wide_slope[0]), std::abs(wide_slope[1]), std::abs(wide_slope[2])});
        for (std::size_t i = 0; i < 3; ++i) {
            EXPECT_NEAR(slope[i], wide_slope[i], 2e-5 * scale);
        }
    }
}

TEST(SphericalHarmonics, shell_checks_its_input) {
    const std::array<double, 3> v{1, 0, 0};
    EXPECT_THROW((void)spherical_harmonics(v, 7, Normalisation::norm), Error);
    EXPECT_THROW((void)spherical_harmonics(v, -1, Normalisation::norm), Error);
    EXPECT_THROW((void)spherical_harmonics(std::span(v).first(2), 1, Normalisation::norm), Error);
    EXPECT_THROW((void)normalisation_by_name("components"), Error);
    for (const Normalisation normalisation : all_normalisations) {
        EXPECT_EQ(normalisation_by_name(normalisation_name(normalisation)), normalisation);
    }
    double y[1] = {0};
    kernels::spherical_harmonics(v.data(), 7, Normalisation::norm, y);
    EXPECT_TRUE(std::isnan(y[0]));
}

} // namespace
} // namespace tether::symmetry
