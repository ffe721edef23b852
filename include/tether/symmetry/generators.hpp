// Real generators X_x, X_y, X_z of degree l in the feature basis (l = 1 is x, y, z): antisymmetric,
// [X_x, X_y] = X_z and cyclic, D_l(turn by t about n) = exp(t n·X). With J the standard angular
// momentum matrices and Q the change from complex to real harmonics (spec: reference/symmetry),
//   X_x = Q†(-iJ_y)*Q,  X_y = Q†(-iJ_z)*Q,  X_z = Q†(-iJ_x)*Q.
#pragma once

#include "tether/symmetry/irreps.hpp"
#include "tether/symmetry/matrix.hpp"

#include <array>
#include <complex>

namespace tether::symmetry {

// Q[complex m, real m], each m + l counted from 0; unitary.
[[nodiscard]] std::vector<std::complex<double>> real_basis(int l);

// {X_x, X_y, X_z}, each (2l+1) x (2l+1). 0 <= l <= max_degree. Computed once, any thread.
[[nodiscard]] const std::array<Matrix, 3>& generators(int l);

// Generator (axis 0, 1, 2) of a whole list, block-diagonal in the published memory order.
[[nodiscard]] Matrix irreps_generator(const Irreps& irreps, int axis);

} // namespace tether::symmetry
