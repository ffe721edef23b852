// The two bounds on random linear nets: f_eq = W x I_3 (channels of vectors), f_free any matrix of known
// norm, rho = rotation of every vector, in plain features (orthogonal) and in features measured with
// another basis (not orthogonal). No violation in 20,000 draws each; both bounds are attained.
#include "tether/methods/bounds.hpp"

#include "tether/core/error.hpp"
#include "tether/core/philox.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace tether::methods {
namespace {

constexpr std::size_t channels = 2;
constexpr std::size_t width = 3 * channels;

struct Matrix { // row-major
    std::size_t n;
    std::vector<double> a;
    explicit Matrix(std::size_t size) : n(size), a(size * size, 0.0) {}
    double& at(std::size_t i, std::size_t j) { return a[i * n + j]; }
    [[nodiscard]] double at(std::size_t i, std::size_t j) const { return a[i * n + j]; }
};

std::vector<double> times(const Matrix& m, const std::vector<double>& x) {
    std::vector<double> y(m.n, 0.0);
    for (std::size_t i = 0; i < m.n; ++i) {
        for (std::size_t j = 0; j < m.n; ++j) {
            y[i] += m.at(i, j) * x[j];
        }
    }
    return y;
}

double length(const std::vector<double>& x) {
    double sum = 0;
    for (const double v : x) {
        sum += v * v;
    }
    return std::sqrt(sum);
}

std::vector<double> minus(std::vector<double> a, const std::vector<double>& b) {
    for (std::size_t i = 0; i < a.size(); ++i) {
        a[i] -= b[i];
    }
    return a;
}

// Gram-Schmidt on normals.
Matrix orthogonal(std::size_t n, RandomStream& random) {
    Matrix q(n);
    for (std::size_t i = 0; i < n; ++i) {
        std::vector<double> row(n);
        std::ranges::generate(row, [&] { return random.normal(); });
        for (int pass = 0; pass < 2; ++pass) {
            for (std::size_t k = 0; k < i; ++k) {
                double dot = 0;
                for (std::size_t j = 0; j < n; ++j) {
                    dot += row[j] * q.at(k, j);
                }
                for (std::size_t j = 0; j < n; ++j) {
                    row[j] -= dot * q.at(k, j);
                }
            }
        }
        const double norm = length(row);
        for (std::size_t j = 0; j < n; ++j) {
            q.at(i, j) = row[j] / norm;
        }
    }
    return q;
}

// U diag(s) V with the largest s = norm.
Matrix of_norm(std::size_t n, double norm, RandomStream& random) {
    const Matrix u = orthogonal(n, random);
    const Matrix v = orthogonal(n, random);
    Matrix m(n);
    for (std::size_t k = 0; k < n; ++k) {
        const double s = k == 0 ? norm : norm * random.uniform();
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = 0; j < n; ++j) {
                m.at(i, j) += u.at(i, k) * s * v.at(k, j);
            }
        }
    }
    return m;
}

// block x I_3 and I_c x block.
Matrix channel_map(const Matrix& w) {
    Matrix m(width);
    for (std::size_t i = 0; i < channels; ++i) {
        for (std::size_t j = 0; j < channels; ++j) {
            for (std::size_t k = 0; k < 3; ++k) {
                m.at(3 * i + k, 3 * j + k) = w.at(i, j);
            }
        }
    }
    return m;
}
Matrix every_vector(const Matrix& r) {
    Matrix m(width);
    for (std::size_t c = 0; c < channels; ++c) {
        for (std::size_t i = 0; i < 3; ++i) {
            for (std::size_t j = 0; j < 3; ++j) {
                m.at(3 * c + i, 3 * c + j) = r.at(i, j);
            }
        }
    }
    return m;
}

// S m S^-1 for S = diag(scale).
Matrix in_basis(Matrix m, const std::vector<double>& out, const std::vector<double>& in) {
    for (std::size_t i = 0; i < m.n; ++i) {
        for (std::size_t j = 0; j < m.n; ++j) {
            m.at(i, j) *= out[i] / in[j];
        }
    }
    return m;
}

struct Net {
    std::vector<Matrix> equivariant, free;
    std::vector<double> gates;
    [[nodiscard]] std::vector<double> operator()(std::vector<double> x, bool relaxed) const {
        for (std::size_t k = 0; k < gates.size(); ++k) {
            std::vector<double> y = times(equivariant[k], x);
            if (relaxed) {
                const std::vector<double> z = times(free[k], x);
                for (std::size_t i = 0; i < y.size(); ++i) {
                    y[i] += gates[k] * z[i];
                }
            }
            x = std::move(y);
        }
        return x;
    }
};

TEST(Bounds, hold_on_random_linear_nets) {
    double closest_truncation = 0;
    double closest_equivariance = 0;
    RandomStream random(4, Purpose::test);
    for (int draw = 0; draw < 20000; ++draw) {
        const bool orthogonal_features = draw % 2 == 0;
        const auto sites = static_cast<std::size_t>(1 + random.below(4));
        const double lipschitz = 0.3 + 1.7 * random.uniform();
        const double free_size = 0.1 + 2.4 * random.uniform(); // above the Lipschitz constant as well
        const double gate = 1.5 * random.uniform();
        const double squeeze = orthogonal_features ? 1.0 : 1.3; // condition number of the basis

        std::vector<std::vector<double>> basis(sites + 1, std::vector<double>(width, 1.0));
        for (std::size_t k = 0; k <= sites && !orthogonal_features; ++k) {
            std::ranges::generate(basis[k], [&] { return 1 + (squeeze - 1) * random.uniform(); });
        }
        Net net;
        for (std::size_t k = 0; k < sites; ++k) {
            net.equivariant.push_back(
                in_basis(channel_map(of_norm(channels, lipschitz, random)), basis[k + 1], basis[k]));
            net.free.push_back(of_norm(width, free_size, random));
            net.gates.push_back(gate * (2 * random.uniform() - 1));
        }
        const Matrix turn = every_vector(orthogonal(3, random)); // O(3)
        const Matrix turn_in = in_basis(turn, basis.front(), basis.front());
        const Matrix turn_out = in_basis(turn, basis.back(), basis.back());
        std::vector<double> x(width);
        std::ranges::generate(x, [&] { return random.normal(); });

        BoundConstants c;
        for (const double g : net.gates) {
            c.gate = std::max(c.gate, std::abs(g));
        }
        c.sites = static_cast<Index>(sites);
        c.lipschitz = lipschitz * squeeze;
        c.free_lipschitz = free_size;
        c.free_size = orthogonal_features ? free_size : std::max(free_size, squeeze);
        c.input_norm = length(x);
        c.orthogonal = orthogonal_features;

        const double truncation = length(minus(net(x, true), net(x, false)));
        const double broken = length(minus(times(turn_out, net(x, true)), net(times(turn_in, x), true)));
        ASSERT_LE(truncation, truncation_bound(c) * (1 + 1e-12)) << draw;
        ASSERT_LE(broken, equivariance_bound(c) * (1 + 1e-12)) << draw;
        closest_truncation = std::max(closest_truncation, truncation / truncation_bound(c));
        closest_equivariance = std::max(closest_equivariance, broken / equivariance_bound(c));
        // Without gates the net is equivariant: the test's own nets are what they claim.
        if (draw < 100) {
            EXPECT_LE(length(minus(times(turn_out, net(x, false)), net(times(turn_in, x), false))),
                      1e-12 * length(x) * std::pow(c.lipschitz + 1, static_cast<double>(sites)));
        }
    }
    EXPECT_GT(closest_truncation, 0.8); // draws of one site come near both bounds
    EXPECT_GT(closest_equivariance, 0.5);
}

TEST(Bounds, truncation_is_attained) {
    // f_eq = f_free = M times the identity, all gates equal.
    for (const Index sites : {1, 2, 5}) {
        for (const double gate : {1e-3, 0.5, 2.0}) {
            const double m = 1.3;
            const double found =
                std::pow(m + gate * m, static_cast<double>(sites)) - std::pow(m, static_cast<double>(sites));
            const double bound = truncation_bound(
                {.gate = gate, .sites = sites, .lipschitz = m, .free_size = m, .input_norm = 1});
            EXPECT_NEAR(found, bound, 1e-12 * bound);
        }
    }
    // The case of the header in which the printed form fails: distance 8.
    EXPECT_GE(truncation_bound({.gate = 1, .sites = 2, .lipschitz = 1, .free_size = 2}), 8);
}

TEST(Bounds, equivariance_is_attained_by_one_site) {
    // A quarter turn R and a reflection F of the plane: R F - F R has norm 2.
    const double bound = equivariance_bound({.gate = 0.3, .sites = 1, .free_size = 1.7, .input_norm = 2});
    const double a = 0.3 * 1.7; // gate times B, F = diag(1, -1), R = (0 -1; 1 0), x = (2, 0)
    const double x = 2;
    const double turned_then[2] = {0, a * x};    // R F x
    const double then_turned[2] = {0, -(a * x)}; // F R x
    EXPECT_NEAR(std::abs(turned_then[1] - then_turned[1]), bound, 1e-14 * bound);
    EXPECT_EQ(equivariance_bound({.gate = 0, .sites = 3}), 0);
    EXPECT_EQ(truncation_bound({.gate = 0, .sites = 3}), 0);
}

TEST(Bounds, refuse_constants_that_mean_nothing) {
    EXPECT_THROW((void)truncation_bound({.sites = 0}), Error);
    EXPECT_THROW((void)equivariance_bound({.gate = -1}), Error);
    EXPECT_THROW((void)truncation_bound({.gate = std::nan("")}), Error);
}

} // namespace
} // namespace tether::methods
