// Coupling tensors from Racah's formula. Factorials up to 19! are exact in long double, and
// the sums have few terms, so no exact arithmetic is needed.
#include "tether/symmetry/clebsch_gordan.hpp"

#include "tether/core/error.hpp"
#include "tether/symmetry/generators.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>

namespace tether::symmetry {
namespace {

long double factorial(int n) {
    long double product = 1;
    for (int k = 2; k <= n; ++k) {
        product *= static_cast<long double>(k);
    }
    return product;
}

// <l1 m1 l2 m2 | l3 m1+m2> with the Condon-Shortley phase.
double condon_shortley(int l1, int m1, int l2, int m2, int l3) {
    const int m3 = m1 + m2;
    const long double triangle = factorial(l1 + l2 - l3) * factorial(l1 - l2 + l3) * factorial(l2 - l1 + l3) /
                                 factorial(l1 + l2 + l3 + 1);
    const long double orders = factorial(l1 + m1) * factorial(l1 - m1) * factorial(l2 + m2) *
                               factorial(l2 - m2) * factorial(l3 + m3) * factorial(l3 - m3);
    long double sum = 0;
    for (int k = std::max({0, l2 - l3 - m1, l1 - l3 + m2}); k <= std::min({l1 + l2 - l3, l1 - m1, l2 + m2});
         ++k) {
        const long double term =
            1 / (factorial(k) * factorial(l1 + l2 - l3 - k) * factorial(l1 - m1 - k) *
                 factorial(l2 + m2 - k) * factorial(l3 - l2 + m1 + k) * factorial(l3 - l1 - m2 + k));
        sum += k % 2 == 0 ? term : -term;
    }
    return static_cast<double>(std::sqrt(static_cast<long double>(2 * l3 + 1) * triangle * orders) * sum);
}

CouplingTensor compute(int l1, int l2, int l3) {
    CouplingTensor tensor{l1, l2, l3, {}, {}};
    const int d1 = 2 * l1 + 1, d2 = 2 * l2 + 1, d3 = 2 * l3 + 1;
    const auto q1 = real_basis(l1), q2 = real_basis(l2), q3 = real_basis(l3);
    const auto entry = [](const auto& q, int l, int m, int column) {
        return q[static_cast<std::size_t>((Index{m} + l) * (2 * l + 1) + column)];
    };
    tensor.values.assign(static_cast<std::size_t>(Index{d1} * d2 * d3), 0.0);
    for (int a = -l1; a <= l1; ++a) {
        for (int b = -l2; b <= l2; ++b) {
            const int d = a + b;
            if (std::abs(d) > l3) {
                continue;
            }
            const double coefficient = condon_shortley(l1, a, l2, b, l3);
            // Row m of Q has entries at the columns ±m alone.
            for (const int i : {-a, a}) {
                for (const int j : {-b, b}) {
                    for (const int k : {-d, d}) {
                        const auto factor = entry(q1, l1, a, l1 + i) * entry(q2, l2, b, l2 + j) *
                                            std::conj(entry(q3, l3, d, l3 + k));
                        // A zero order has one column, met twice.
                        const int twice = (a == 0 ? 2 : 1) * (b == 0 ? 2 : 1) * (d == 0 ? 2 : 1);
                        tensor.values[static_cast<std::size_t>(((Index{l1} + i) * d2 + l2 + j) * d3 + l3 +
                                                               k)] += factor.real() * coefficient / twice;
                    }
                }
            }
        }
    }
    double square = 0;
    for (const double value : tensor.values) {
        square += value * value;
    }
    const double norm = std::sqrt(square);
    for (double& value : tensor.values) {
        value /= norm;
        // What cancels exactly on paper; true entries up to l = 6 are above 1e-3.
        value = std::abs(value) < 1e-13 ? 0 : value;
    }
    for (int i = 0; i < d1; ++i) {
        for (int j = 0; j < d2; ++j) {
            for (int k = 0; k < d3; ++k) {
                if (tensor(i, j, k) != 0) {
                    tensor.entries.push_back({i, j, k, tensor(i, j, k)});
                }
            }
        }
    }
    return tensor;
}

} // namespace

const CouplingTensor& clebsch_gordan(int l1, int l2, int l3) {
    for (const int l : {l1, l2, l3}) {
        check(l >= 0 && l <= max_degree, "coupling tensor ({}, {}, {}): degrees from 0 to {} are known", l1,
              l2, l3, max_degree);
    }
    check(std::abs(l1 - l2) <= l3 && l3 <= l1 + l2, "coupling tensor: {} does not occur in {} x {}", l3, l1,
          l2);
    constexpr std::size_t n = max_degree + 1;
    static std::array<CouplingTensor, n * n * n> tensors;
    static std::array<std::once_flag, n * n * n> made;
    const auto at =
        (static_cast<std::size_t>(l1) * n + static_cast<std::size_t>(l2)) * n + static_cast<std::size_t>(l3);
    std::call_once(made[at], [&] { tensors[at] = compute(l1, l2, l3); });
    return tensors[at];
}

} // namespace tether::symmetry
