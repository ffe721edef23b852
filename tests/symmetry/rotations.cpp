// Elements of O(3) and their matrices, to l = 6: group law, commutators, exponentials, invariance of
// coupling tensors, Haar moments.
#include "tether/core/error.hpp"
#include "tether/symmetry/clebsch_gordan.hpp"
#include "tether/symmetry/generators.hpp"
#include "tether/symmetry/groups.hpp"
#include "tether/symmetry/layout.hpp"
#include "tether/symmetry/wigner.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <thread>

namespace tether::symmetry {
namespace {

constexpr double pi = std::numbers::pi;

RandomStream stream(std::uint64_t sample = 0) { return {20240607, Purpose::test, 0, sample}; }

double distance(const Matrix& a, const Matrix& b) { return largest_entry(a - b); }

// exp(x) by its series, halved until it is short: independent of wigner.cpp's closed form.
Matrix series(Matrix x) {
    x = std::ldexp(1.0, -6) * x;
    Matrix sum = Matrix::identity(x.rows), power = sum;
    for (int k = 1; k <= 25; ++k) {
        power = (1.0 / k) * (power * x);
        sum = sum + power;
    }
    for (int k = 0; k < 6; ++k) {
        sum = sum * sum;
    }
    return sum;
}

TEST(Generators, commute_as_rotations_do) {
    for (int l = 0; l <= max_degree; ++l) {
        const auto& x = generators(l);
        for (std::size_t a = 0; a < 3; ++a) {
            const std::size_t b = (a + 1) % 3, c = (a + 2) % 3;
            EXPECT_LE(distance(x[a] * x[b] - x[b] * x[a], x[c]), 1e-13) << l;
            EXPECT_LE(largest_entry(x[a] + transposed(x[a])), 1e-15) << l;
        }
        // Casimir: X·X = -l(l+1)
        const Matrix square = x[0] * x[0] + x[1] * x[1] + x[2] * x[2];
        EXPECT_LE(distance(square, -l * (l + 1.0) * Matrix::identity(2 * l + 1)), 1e-13) << l;
    }
    EXPECT_THROW((void)generators(7), Error);
    EXPECT_THROW((void)generators(-1), Error);
}

TEST(Generators, of_a_list_are_the_slope_of_its_matrix) {
    const Irreps irreps = Irreps::parse("2x0e+2x1o+1x3e");
    for (int axis = 0; axis < 3; ++axis) {
        Vector3 n{0, 0, 0};
        n[static_cast<std::size_t>(axis)] = 1e-5;
        const Matrix forth = irreps_matrix(irreps, {from_axis_angle(n), 1});
        n[static_cast<std::size_t>(axis)] = -1e-5;
        const Matrix back = irreps_matrix(irreps, {from_axis_angle(n), 1});
        EXPECT_LE(distance(0.5e5 * (forth - back), irreps_generator(irreps, axis)), 1e-8);
    }
}

TEST(WignerD, is_the_exponential_of_the_generators) {
    RandomStream random = stream();
    for (int trial = 0; trial < 20; ++trial) {
        Quaternion q = random_rotation(random);
        if (trial == 0) {
            q = Quaternion{1, 1e-9, -2e-9, 1e-9}; // close to the identity
        } else if (trial < 4) {
            q = normalised({1e-12, trial == 1 ? 1.0 : 0.0, trial == 2 ? 1.0 : 0.0, trial == 3 ? 1.0 : 0.0});
        }
        const Vector3 v = to_axis_angle(q);
        for (int l = 0; l <= max_degree; ++l) {
            const auto& x = generators(l);
            EXPECT_LE(distance(wigner_d(l, q), series(v[0] * x[0] + v[1] * x[1] + v[2] * x[2])), 1e-12)
                << "l " << l << " trial " << trial;
        }
    }
}

TEST(WignerD, respects_the_group_law) {
    const Irreps irreps = Irreps::parse("0o+1e+1o+2e+2o+3o+4e+5o+6e+6o");
    RandomStream random = stream(1);
    for (int trial = 0; trial < 20; ++trial) {
        const O3Element g = random_o3(random), h = random_o3(random);
        const Matrix dg = irreps_matrix(irreps, g), dh = irreps_matrix(irreps, h);
        EXPECT_LE(distance(dg * dh, irreps_matrix(irreps, g * h)), 1e-13);
        EXPECT_LE(distance(dg * transposed(dg), Matrix::identity(irreps.dim())), 1e-13);
        EXPECT_LE(distance(transposed(dg), irreps_matrix(irreps, inverse(g))), 1e-13);
        EXPECT_LE(distance(g.matrix() * h.matrix(), (g * h).matrix()), 1e-14);
        EXPECT_LE(distance(irrep_matrix({1, -1}, g), g.matrix()), 1e-15);
    }
}

TEST(Rotation, conversions_return) {
    RandomStream random = stream(2);
    for (int trial = 0; trial < 200; ++trial) {
        O3Element g = random_o3(random);
        if (trial % 4 == 1) { // near half turns and near the identity
            g.rotation =
                normalised({1e-9 * random.normal(), random.normal(), random.normal(), random.normal()});
        } else if (trial % 4 == 2) {
            g.rotation =
                normalised({1, 1e-9 * random.normal(), 1e-9 * random.normal(), 1e-9 * random.normal()});
        }
        const O3Element back = o3_element(g.matrix());
        EXPECT_EQ(back.determinant, g.determinant);
        EXPECT_LE(distance(back.matrix(), g.matrix()), 1e-15);
        EXPECT_LE(distance(rotation_matrix(from_axis_angle(to_axis_angle(g.rotation))),
                           rotation_matrix(g.rotation)),
                  2e-15);
        const EulerAngles e = euler_angles(g.rotation);
        const Quaternion product =
            about({0, 1, 0}, e.alpha) * about({1, 0, 0}, e.beta) * about({0, 1, 0}, e.gamma);
        EXPECT_LE(distance(rotation_matrix(product), rotation_matrix(g.rotation)), 3e-15);
    }
    Matrix skewed = Matrix::identity(3);
    skewed(0, 1) = 1e-3;
    EXPECT_THROW((void)o3_element(skewed), Error);
    skewed(0, 1) = std::nan("");
    EXPECT_THROW((void)o3_element(skewed), Error);
    EXPECT_THROW((void)o3_element(Matrix::identity(2)), Error);
    EXPECT_THROW((void)normalised({0, 0, 0, 0}), Error);
}

TEST(Rotation, turns_the_right_way) {
    // A quarter turn about z takes x to y.
    const Matrix r = rotation_matrix(about({0, 0, 2}, pi / 2));
    EXPECT_NEAR(r(1, 0), 1, 1e-15);
    EXPECT_NEAR(r(0, 1), -1, 1e-15);
}

TEST(ClebschGordan, orthogonal_and_invariant_to_six) {
    RandomStream random = stream(3);
    const O3Element g = random_o3(random);
    std::vector<Matrix> d;
    for (int l = 0; l <= max_degree; ++l) {
        d.push_back(wigner_d(l, g.rotation));
    }
    for (int l1 = 0; l1 <= max_degree; ++l1) {
        for (int l2 = 0; l2 <= max_degree; ++l2) {
            const int d1 = 2 * l1 + 1, d2 = 2 * l2 + 1;
            // Columns √(2 l3+1) C of all l3 side by side: an orthogonal matrix where none is cut off.
            const int highest = std::min(l1 + l2, max_degree);
            for (int l3 = std::abs(l1 - l2); l3 <= highest; ++l3) {
                const auto& c = clebsch_gordan(l1, l2, l3);
                const int d3 = 2 * l3 + 1;
                Matrix flat(d1 * d2, d3);
                flat.values = c.values;
                for (int other = std::abs(l1 - l2); other <= l3; ++other) {
                    Matrix flat2(d1 * d2, 2 * other + 1);
                    flat2.values = clebsch_gordan(l1, l2, other).values;
                    const Matrix overlap = transposed(flat) * flat2;
                    const Matrix expected =
                        other == l3 ? (1.0 / d3) * Matrix::identity(d3) : Matrix(d3, 2 * other + 1);
                    EXPECT_LE(distance(overlap, expected), 1e-14) << l1 << l2 << l3 << other;
                }
                // (D1 ⊗ D2) C D3ᵀ = C
                Matrix product(d1 * d2, d1 * d2);
                for (int i = 0; i < d1; ++i) {
                    for (int j = 0; j < d2; ++j) {
                        for (int m = 0; m < d1; ++m) {
                            for (int n = 0; n < d2; ++n) {
                                product(i * d2 + j, m * d2 + n) = d[static_cast<std::size_t>(l1)](i, m) *
                                                                  d[static_cast<std::size_t>(l2)](j, n);
                            }
                        }
                    }
                }
                EXPECT_LE(distance(product * flat * transposed(d[static_cast<std::size_t>(l3)]), flat), 1e-13)
                    << l1 << l2 << l3;
                double square = 0;
                double smallest = 1;
                for (const CouplingEntry& entry : c.entries) {
                    EXPECT_EQ(c(entry.i, entry.j, entry.k), entry.value);
                    square += entry.value * entry.value;
                    smallest = std::min(smallest, std::abs(entry.value));
                }
                EXPECT_NEAR(square, 1, 1e-13);
                EXPECT_GT(smallest, 1e-5) << l1 << l2 << l3; // rounding noise is not an entry
            }
        }
    }
    EXPECT_THROW((void)clebsch_gordan(1, 1, 3), Error);
    EXPECT_THROW((void)clebsch_gordan(7, 0, 7), Error);
}

TEST(ClebschGordan, same_from_many_threads) {
    std::vector<const CouplingTensor*> seen(8, nullptr);
    {
        std::vector<std::jthread> threads;
        for (auto& place : seen) {
            threads.emplace_back([&place] { place = &clebsch_gordan(6, 5, 4); });
        }
    }
    for (const auto* place : seen) {
        ASSERT_NE(place, nullptr);
        EXPECT_EQ(place, seen[0]);
    }
    EXPECT_EQ(seen[0]->values.size(), 13U * 11U * 9U);
}

TEST(Features, transform_is_the_block_matrix_in_both_layouts) {
    const Irreps irreps = Irreps::parse("2x0o+3x1o+2x2e+1x0e+2x1e");
    RandomStream random = stream(4);
    const O3Element g{random_rotation(random), -1};
    const auto width = static_cast<std::size_t>(irreps.dim());
    constexpr std::size_t rows = 3;
    std::vector<double> x(rows * width), expected(rows * width), found(rows * width);
    for (double& value : x) {
        value = random.normal();
    }
    const Matrix d = irreps_matrix(irreps, g);
    for (std::size_t row = 0; row < rows; ++row) {
        for (std::size_t i = 0; i < width; ++i) {
            for (std::size_t j = 0; j < width; ++j) {
                expected[row * width + i] += d.values[i * width + j] * x[row * width + j];
            }
        }
    }
    transform_features<double>(irreps, g, Layout::published, x, found);
    for (std::size_t i = 0; i < found.size(); ++i) {
        EXPECT_NEAR(found[i], expected[i], 1e-14);
    }
    const auto order = component_major_order(irreps);
    std::vector<float> internal(rows * width);
    for (std::size_t row = 0; row < rows; ++row) {
        for (std::size_t k = 0; k < width; ++k) {
            internal[row * width + k] =
                static_cast<float>(x[row * width + static_cast<std::size_t>(order[k])]);
        }
    }
    transform_features<float>(irreps, g, Layout::component_major, internal, internal); // in place
    for (std::size_t row = 0; row < rows; ++row) {
        for (std::size_t k = 0; k < width; ++k) {
            EXPECT_NEAR(internal[row * width + k], expected[row * width + static_cast<std::size_t>(order[k])],
                        1e-5);
        }
    }
    EXPECT_THROW(transform_features<double>(irreps, g, Layout::published, std::span(x).first(4),
                                            std::span(found).first(4)),
                 Error);
}

// Haar measure: ∫ D_ij D_kl = δ_ik δ_jl / (2l+1), and the mean of D (l > 0) vanishes.
TEST(Groups, haar_moments) {
    constexpr int draws = 40000;
    RandomStream random = stream(5);
    const Group group = group_by_name("SO3");
    for (const int l : {1, 2}) {
        const Index n = 2 * l + 1;
        Matrix mean(n, n), square(n, n);
        double mixed = 0;
        for (int k = 0; k < draws; ++k) {
            const Matrix d = wigner_d(l, group.random(random).rotation);
            mean = std::move(mean) + d;
            for (std::size_t i = 0; i < d.values.size(); ++i) {
                square.values[i] += d.values[i] * d.values[i];
            }
            mixed += d(0, 0) * d(1, 1);
        }
        // Six standard errors (variance of an entry at most 1/3, of a square at most 1).
        EXPECT_LE(largest_entry((1.0 / draws) * mean), 6 * std::sqrt(0.34 / draws)) << l;
        Matrix expected(n, n);
        for (double& value : expected.values) {
            value = 1.0 / static_cast<double>(n);
        }
        EXPECT_LE(distance((1.0 / draws) * square, expected), 6 * std::sqrt(0.1 / draws)) << l;
        EXPECT_NEAR(mixed / draws, 0, 6 * std::sqrt(0.15 / draws)) << l;
    }
}

TEST(Groups, keep_what_they_should) {
    const Vector3 vertical{0, 1, 0};
    for (const std::string& name : group_names()) {
        RandomStream random = stream(6);
        const Group group = group_by_name(name, vertical);
        EXPECT_EQ(group.name(), name);
        int improper = 0;
        constexpr int draws = 4000;
        for (int k = 0; k < draws; ++k) {
            const O3Element g = group.random(random);
            improper += g.determinant < 0 ? 1 : 0;
            const Matrix m = g.matrix();
            EXPECT_LE(distance(m * transposed(m), Matrix::identity(3)), 1e-14);
            if (name == "SO2" || name == "O2") {
                EXPECT_NEAR(m(1, 1), 1, 1e-14); // the vertical axis stays
                EXPECT_NEAR(m(0, 1), 0, 1e-14);
            }
        }
        if (group.has_improper()) {
            EXPECT_NEAR(improper, draws / 2.0, 6 * std::sqrt(draws / 4.0)) << name;
        } else {
            EXPECT_EQ(improper, 0) << name;
        }
    }
    EXPECT_THROW((void)group_by_name("SO4"), Error);
    EXPECT_THROW((void)group_by_name("SO2", {0, 0, 0}), Error);
}

TEST(Groups, elements_depend_on_the_key_alone) {
    RandomStream first = stream(7), second = stream(7), other = stream(8);
    const Matrix a = random_o3(first).matrix(), b = random_o3(second).matrix(), c = random_o3(other).matrix();
    EXPECT_EQ(a.values, b.values);
    EXPECT_GT(distance(a, c), 1e-3);
}

} // namespace
} // namespace tether::symmetry
