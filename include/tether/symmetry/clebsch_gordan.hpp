// Real coupling tensors C[i, j, k] of degrees l1, l2, l3 (Wigner-3j in the feature basis): the one
// invariant of l1 ⊗ l2 ⊗ l3, Frobenius norm 1. With Q of generators.hpp and the Condon-Shortley
// coefficients, C = Re Σ Q1[a,i] Q2[b,j] conj(Q3[d,k]) <l1 a l2 b | l3 d>, divided by its norm.
#pragma once

#include "tether/core/types.hpp"

#include <vector>

namespace tether::symmetry {

struct CouplingEntry {
    int i, j, k;
    double value;
};

struct CouplingTensor {
    int l1 = 0, l2 = 0, l3 = 0;
    std::vector<double> values;         // [2 l1+1, 2 l2+1, 2 l3+1], row-major
    std::vector<CouplingEntry> entries; // those that are not zero, in the same order

    double operator()(int i, int j, int k) const {
        return values[static_cast<std::size_t>((Index{i} * (2 * l2 + 1) + j) * (2 * l3 + 1) + k)];
    }
};

// |l1-l2| <= l3 <= l1+l2, all from 0 to max_degree; otherwise Error(usage). Computed at the first
// call and kept; the reference stays valid. Any thread.
[[nodiscard]] const CouplingTensor& clebsch_gordan(int l1, int l2, int l3);

} // namespace tether::symmetry
