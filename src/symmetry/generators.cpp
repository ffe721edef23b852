// Generators from the ladder operators of angular momentum.
#include "tether/symmetry/generators.hpp"

#include "tether/core/error.hpp"

#include <cmath>

namespace tether::symmetry {
namespace {

using Complex = std::complex<double>;

class ComplexSquare {
public:
    explicit ComplexSquare(int l)
        : l_(l), values_(static_cast<std::size_t>((Index{2} * l + 1) * (Index{2} * l + 1))) {}
    Complex& operator()(int m, int n) { // both -l..l
        return values_[static_cast<std::size_t>((Index{m} + l_) * (2 * l_ + 1) + n + l_)];
    }
    [[nodiscard]] std::vector<Complex> values() const { return values_; }

private:
    int l_;
    std::vector<Complex> values_;
};

ComplexSquare basis(int l) {
    ComplexSquare q(l);
    const Complex i(0, 1);
    const double half = std::sqrt(0.5);
    const std::array<Complex, 4> powers{1, -i, -1, i}; // of -i
    const Complex phase = powers[static_cast<std::size_t>(l % 4)];
    q(0, 0) = phase;
    for (int m = 1; m <= l; ++m) {
        const double sign = m % 2 == 0 ? 1 : -1;
        q(-m, m) = phase * half;
        q(-m, -m) = phase * (-i * half);
        q(m, m) = phase * (sign * half);
        q(m, -m) = phase * (i * sign * half);
    }
    return q;
}

// Q† A* Q, whose imaginary part vanishes.
Matrix in_real_basis(int l, ComplexSquare& a) {
    ComplexSquare q = basis(l);
    Matrix out(2 * l + 1, 2 * l + 1);
    for (int i = -l; i <= l; ++i) {
        for (int j = -l; j <= l; ++j) {
            Complex sum = 0;
            for (const int m : {-i, i}) { // a column of Q has entries at ±m alone
                for (const int n : {-j, j}) {
                    sum += std::conj(q(m, i)) * std::conj(a(m, n)) * q(n, j);
                    if (j == 0) {
                        break;
                    }
                }
                if (i == 0) {
                    break;
                }
            }
            out(i + l, j + l) = sum.real();
        }
    }
    return out;
}

std::array<Matrix, 3> compute(int l) {
    const Complex i(0, 1);
    ComplexSquare x(l), y(l), z(l); // -i J
    for (int m = -l; m <= l; ++m) {
        z(m, m) = -i * static_cast<double>(m);
        if (m < l) {
            const double raise = std::sqrt(static_cast<double>(l * (l + 1) - m * (m + 1))); // <m+1|J+|m>
            x(m + 1, m) = x(m, m + 1) = -i * (raise / 2);
            y(m + 1, m) = -raise / 2; // J_y = (J+ - J-)/2i
            y(m, m + 1) = raise / 2;
        }
    }
    return {in_real_basis(l, y), in_real_basis(l, z), in_real_basis(l, x)};
}

} // namespace

std::vector<Complex> real_basis(int l) {
    check(l >= 0 && l <= max_degree, "real basis: degree {}, expected 0 to {}", l, max_degree);
    return basis(l).values();
}

const std::array<Matrix, 3>& generators(int l) {
    check(l >= 0 && l <= max_degree, "generators: degree {}, expected 0 to {}", l, max_degree);
    static const auto all = [] {
        std::array<std::array<Matrix, 3>, max_degree + 1> made;
        for (int degree = 0; degree <= max_degree; ++degree) {
            made[static_cast<std::size_t>(degree)] = compute(degree);
        }
        return made;
    }();
    return all[static_cast<std::size_t>(l)];
}

Matrix irreps_generator(const Irreps& irreps, int axis) {
    check(axis >= 0 && axis <= 2, "generator: axis {}, expected 0, 1 or 2", axis);
    Matrix out(irreps.dim(), irreps.dim());
    Index at = 0;
    for (const Term& term : irreps) {
        for (Index copy = 0; copy < term.mul; ++copy, at += term.ir.dim()) {
            add_block(out, at, generators(term.ir.l)[static_cast<std::size_t>(axis)]);
        }
    }
    return out;
}

} // namespace tether::symmetry
