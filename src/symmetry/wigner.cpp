// Wigner-D matrices by Euler angles, and their action on features.
#include "tether/symmetry/wigner.hpp"

#include "tether/core/error.hpp"
#include "tether/symmetry/generators.hpp"

#include <cmath>

namespace tether::symmetry {
namespace {

// exp(turn · X) by scaling and squaring in long double; for the quarter turn alone.
Matrix exponential(const Matrix& x, long double turn) {
    constexpr int halvings = 8;
    constexpr int terms = 20; // |turn X| / 2^8 <= 0.04: the rest of the series is below 1e-40
    const auto n = static_cast<std::size_t>(x.rows);
    using Square = std::vector<long double>;
    const auto product = [n](const Square& a, const Square& b) {
        Square out(n * n, 0.0L);
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t k = 0; k < n; ++k) {
                for (std::size_t j = 0; j < n; ++j) {
                    out[i * n + j] += a[i * n + k] * b[k * n + j];
                }
            }
        }
        return out;
    };
    Square step(n * n), sum(n * n, 0.0L);
    for (std::size_t i = 0; i < n * n; ++i) {
        step[i] = std::ldexp(turn, -halvings) * static_cast<long double>(x.values[i]);
    }
    for (std::size_t i = 0; i < n; ++i) {
        sum[i * n + i] = 1;
    }
    Square power = sum;
    for (int k = 1; k <= terms; ++k) {
        power = product(power, step);
        for (std::size_t i = 0; i < n * n; ++i) {
            power[i] /= static_cast<long double>(k);
            sum[i] += power[i];
        }
    }
    for (int k = 0; k < halvings; ++k) {
        sum = product(sum, sum);
    }
    Matrix out(x.rows, x.columns);
    for (std::size_t i = 0; i < n * n; ++i) {
        out.values[i] = static_cast<double>(sum[i]);
    }
    return out;
}

const Matrix& quarter_turn_about_z(int l) {
    static const auto all = [] {
        std::array<Matrix, max_degree + 1> made;
        for (int degree = 0; degree <= max_degree; ++degree) {
            made[static_cast<std::size_t>(degree)] =
                exponential(generators(degree)[2], 1.57079632679489661923132169163975144L);
        }
        return made;
    }();
    return all[static_cast<std::size_t>(l)];
}

// exp(angle X_y): column m has cos(mα) at m and sin(mα) at -m, with the sign X_y has there.
Matrix turn_about_y(int l, double angle) {
    const Matrix& x = generators(l)[1];
    Matrix out(2 * l + 1, 2 * l + 1);
    for (int m = -l; m <= l; ++m) {
        const int order = std::abs(m);
        out(l + m, l + m) = std::cos(order * angle);
        if (m != 0) {
            out(l - m, l + m) = std::copysign(1.0, x(l - m, l + m)) * std::sin(order * angle);
        }
    }
    return out;
}

} // namespace

Matrix wigner_d(int l, const Quaternion& rotation) {
    check(l >= 0 && l <= max_degree, "Wigner-D matrix: degree {}, expected 0 to {}", l, max_degree);
    if (l == 0) {
        return Matrix::identity(1);
    }
    if (l == 1) {
        return rotation_matrix(rotation); // the basis is x, y, z
    }
    const EulerAngles angles = euler_angles(rotation);
    const Matrix& k = quarter_turn_about_z(l);
    return turn_about_y(l, angles.alpha) * (transposed(k) * (turn_about_y(l, angles.beta) * k)) *
           turn_about_y(l, angles.gamma);
}

Matrix irrep_matrix(const Irrep& ir, const O3Element& g) {
    const double sign = g.determinant < 0 ? ir.parity : 1;
    return sign * wigner_d(ir.l, g.rotation);
}

Matrix irreps_matrix(const Irreps& irreps, const O3Element& g) {
    Matrix out(irreps.dim(), irreps.dim());
    Index at = 0;
    for (const Term& term : irreps) {
        const Matrix block = irrep_matrix(term.ir, g);
        for (Index copy = 0; copy < term.mul; ++copy, at += term.ir.dim()) {
            add_block(out, at, block);
        }
    }
    return out;
}

template <class T>
void transform_features(const Irreps& irreps, const O3Element& g, Layout layout, std::span<const T> in,
                        std::span<T> out) {
    const Index width = irreps.dim();
    const auto entries = static_cast<Index>(in.size());
    check(in.size() == out.size() && (width == 0 ? entries == 0 : entries % width == 0),
          "transform of features: {} entries in, {} out, expected rows of {} columns", in.size(), out.size(),
          width);
    Index at = 0;
    std::vector<double> copy;
    for (const Term& term : irreps) {
        const Matrix d = irrep_matrix(term.ir, g);
        const Index dim = term.ir.dim();
        const Index copy_stride = layout == Layout::published ? dim : 1;
        const Index component_stride = layout == Layout::published ? 1 : term.mul;
        copy.resize(static_cast<std::size_t>(dim));
        for (Index row = 0; row * width < entries; ++row) {
            for (Index u = 0; u < term.mul; ++u) {
                const Index first = row * width + at + u * copy_stride;
                for (Index k = 0; k < dim; ++k) {
                    copy[static_cast<std::size_t>(k)] =
                        static_cast<double>(in[static_cast<std::size_t>(first + k * component_stride)]);
                }
                for (Index i = 0; i < dim; ++i) {
                    double sum = 0;
                    for (Index k = 0; k < dim; ++k) {
                        sum += d(i, k) * copy[static_cast<std::size_t>(k)];
                    }
                    out[static_cast<std::size_t>(first + i * component_stride)] = static_cast<T>(sum);
                }
            }
        }
        at += term.dim();
    }
}

template void transform_features<float>(const Irreps&, const O3Element&, Layout, std::span<const float>,
                                        std::span<float>);
template void transform_features<double>(const Irreps&, const O3Element&, Layout, std::span<const double>,
                                         std::span<double>);

} // namespace tether::symmetry
