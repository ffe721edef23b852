// Parity of matrices, harmonics and coupling tensors with the reference files: 1e-12 absolute,
// entries being of order one (harmonics and Jacobians: relative to the largest of their row).
#include "tests/symmetry/symmetry_files.hpp"
#include "tether/symmetry/clebsch_gordan.hpp"
#include "tether/symmetry/gate_constants.hpp"
#include "tether/symmetry/generators.hpp"
#include "tether/symmetry/harmonics.hpp"
#include "tether/symmetry/wigner.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace tether::symmetry {
namespace {

constexpr double tolerance = 1e-12;

double largest_difference(std::span<const double> a, std::span<const double> b) {
    if (a.size() != b.size()) {
        return std::numeric_limits<double>::infinity();
    }
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double d = std::abs(a[i] - b[i]);
        largest = d <= largest ? largest : d; // a NaN stays
    }
    return largest;
}

std::span<const double> part(const std::vector<double>& all, Index first, Index count) {
    return std::span(all).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
}

Matrix matrix_of(std::span<const double> values, Index n) {
    Matrix m(n, n);
    std::ranges::copy(values, m.values.begin());
    return m;
}

int integer(Index value) { return static_cast<int>(value); }

TEST(Generators, parity_reference) {
    const auto files = test::files_with("symmetry", "generator");
    if (files.empty()) {
        GTEST_SKIP() << "no reference file with generators";
    }
    for (const std::string& file : files) {
        const hdf5::Reader reader(file);
        for (const std::string& name : reader.children("generator")) {
            const auto expected = reader.doubles("generator/" + name);
            const auto shape = reader.shape("generator/" + name);
            ASSERT_EQ(shape.size(), 3U) << name;
            const int l = std::stoi(name.substr(1));
            const Index size = shape[1] * shape[2];
            for (Index axis = 0; axis < 3; ++axis) {
                const Matrix& x = generators(l)[static_cast<std::size_t>(axis)];
                EXPECT_LE(largest_difference(x.values, part(expected, axis * size, size)), tolerance)
                    << file << " " << name << " axis " << axis;
            }
        }
    }
}

TEST(WignerD, parity_reference) {
    const auto files = test::files_with("symmetry", "output/D_irreps");
    if (files.empty()) {
        GTEST_SKIP() << "no reference file with Wigner-D matrices";
    }
    for (const std::string& file : files) {
        const hdf5::Reader reader(file);
        const auto matrices = reader.doubles("input/matrix");
        const auto quaternions = reader.doubles("input/quaternion");
        const auto axis_angles = reader.doubles("input/axis_angle");
        const auto determinants = reader.integers("input/determinant");
        const auto names = reader.strings("input/name");
        const Irreps irreps = Irreps::parse(reader.text_attribute("output/D_irreps", "irreps"));
        const auto expected_all = reader.doubles("output/D_irreps");
        for (Index row = 0; row < static_cast<Index>(determinants.size()); ++row) {
            const auto at = static_cast<std::size_t>(row);
            SCOPED_TRACE(file + " " + names[at]);
            // Three ways to name the same element.
            const O3Element from_matrix = o3_element(matrix_of(part(matrices, 9 * row, 9), 3));
            const Quaternion q{quaternions[4 * at], quaternions[4 * at + 1], quaternions[4 * at + 2],
                               quaternions[4 * at + 3]};
            const Quaternion turned =
                from_axis_angle({axis_angles[3 * at], axis_angles[3 * at + 1], axis_angles[3 * at + 2]});
            EXPECT_EQ(from_matrix.determinant, determinants[at]);
            for (const Quaternion& rotation : {from_matrix.rotation, normalised(q), turned}) {
                const O3Element g{rotation, from_matrix.determinant};
                EXPECT_LE(largest_difference(g.matrix().values, part(matrices, 9 * row, 9)), tolerance);
                for (const std::string& name : reader.children("output/D")) {
                    const int l = std::stoi(name.substr(1));
                    const Index size = (2 * l + 1) * (2 * l + 1);
                    const auto expected = reader.doubles("output/D/" + name);
                    EXPECT_LE(
                        largest_difference(wigner_d(l, rotation).values, part(expected, row * size, size)),
                        tolerance)
                        << name;
                }
                const Index size = irreps.dim() * irreps.dim();
                EXPECT_LE(
                    largest_difference(irreps_matrix(irreps, g).values, part(expected_all, row * size, size)),
                    tolerance);
            }
            // Back to the axis and angle: equal up to the sign of a half turn.
            const Vector3 v = to_axis_angle(from_matrix.rotation);
            double same = 0, opposite = 0;
            for (std::size_t i = 0; i < 3; ++i) {
                same = std::max(same, std::abs(v[i] - axis_angles[3 * at + i]));
                opposite = std::max(opposite, std::abs(v[i] + axis_angles[3 * at + i]));
            }
            const bool half_turn = std::abs(std::hypot(v[0], v[1], v[2]) - std::acos(-1.0)) < 1e-9;
            EXPECT_LE(half_turn ? std::min(same, opposite) : same, tolerance);
        }
    }
}

TEST(ClebschGordan, parity_reference) {
    const auto files = test::files_with("symmetry", "triple");
    if (files.empty()) {
        GTEST_SKIP() << "no reference file with coupling tensors";
    }
    for (const std::string& file : files) {
        const hdf5::Reader reader(file);
        const auto triples = reader.integers("triple");
        const auto offsets = reader.integers("offset");
        const auto values = reader.doubles("value");
        for (std::size_t t = 0; t < offsets.size(); ++t) {
            const int l1 = integer(triples[3 * t]), l2 = integer(triples[3 * t + 1]),
                      l3 = integer(triples[3 * t + 2]);
            const auto& c = clebsch_gordan(l1, l2, l3);
            EXPECT_LE(
                largest_difference(c.values, part(values, offsets[t], static_cast<Index>(c.values.size()))),
                tolerance)
                << file << ": " << l1 << " " << l2 << " " << l3;
        }
    }
}

TEST(SphericalHarmonics, parity_reference) {
    const auto files = test::files_with("symmetry", "jacobian/component");
    if (files.empty()) {
        GTEST_SKIP() << "no reference file with spherical harmonics";
    }
    for (const std::string& file : files) {
        const hdf5::Reader reader(file);
        const auto vectors = reader.doubles("input/vector");
        const auto names = reader.strings("input/name");
        const Index columns = reader.shape("output/component").at(1);
        const int lmax =
            integer(static_cast<Index>(std::lround(std::sqrt(static_cast<double>(columns))))) - 1;
        for (const std::string& name : normalisation_names()) {
            const Normalisation normalisation = normalisation_by_name(name);
            const auto y = spherical_harmonics(vectors, lmax, normalisation);
            const auto jacobian = spherical_harmonics_jacobian(vectors, lmax, normalisation);
            const auto expected = reader.doubles("output/" + name);
            const auto expected_jacobian = reader.doubles("jacobian/" + name);
            ASSERT_EQ(y.size(), expected.size());
            ASSERT_EQ(jacobian.size(), expected_jacobian.size());
            for (Index row = 0; row < static_cast<Index>(names.size()); ++row) {
                SCOPED_TRACE(file + " " + name + " " + names[static_cast<std::size_t>(row)]);
                EXPECT_LE(test::disagreement(part(y, row * columns, columns),
                                             part(expected, row * columns, columns)),
                          tolerance);
                EXPECT_LE(test::disagreement(part(jacobian, row * columns * 3, columns * 3),
                                             part(expected_jacobian, row * columns * 3, columns * 3)),
                          tolerance);
            }
        }
    }
}

TEST(GateConstants, parity_reference) {
    const auto files = test::files_with("symmetry", "e3nn");
    if (files.empty()) {
        GTEST_SKIP() << "no reference file with gate constants";
    }
    for (const std::string& file : files) {
        const hdf5::Reader reader(file);
        const auto names = reader.strings("name");
        const auto published = reader.doubles("e3nn");
        const auto exact = reader.doubles("exact");
        for (std::size_t i = 0; i < names.size(); ++i) {
            const auto function = [&](double x) {
                const double sigmoid = 1 / (1 + std::exp(-x));
                return names[i] == "silu" ? x * sigmoid : names[i] == "sigmoid" ? sigmoid : std::tanh(x);
            };
            ASSERT_TRUE(names[i] == "silu" || names[i] == "sigmoid" || names[i] == "tanh") << names[i];
            const double constant = names[i] == "silu"      ? silu_constant
                                    : names[i] == "sigmoid" ? sigmoid_constant
                                                            : tanh_constant;
            EXPECT_DOUBLE_EQ(constant, published[i]) << names[i];
            // The trapezoidal rule converges exponentially for such integrands.
            double moment = 0;
            constexpr double step = 1.0 / 64;
            for (int k = -64 * 12; k <= 64 * 12; ++k) {
                const double x = k * step;
                moment += step * std::exp(-0.5 * x * x) / std::sqrt(2 * std::acos(-1.0)) * function(x) *
                          function(x);
            }
            EXPECT_NEAR(1 / std::sqrt(moment), exact[i], 1e-12) << names[i];
            EXPECT_NEAR(constant, exact[i], 2e-3 * exact[i]) << names[i];
        }
    }
}

} // namespace
} // namespace tether::symmetry
