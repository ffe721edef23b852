// Real Wigner-D matrices in the feature basis: D_l(R_y(α) R_x(β) R_y(γ)) = exp(αX_y) exp(βX_x)
// exp(γX_y). Turns about y are exact in closed form (they mix m and -m with angle mα), and
// exp(βX_x) = Kᵀ exp(βX_y) K with K the quarter turn about z, computed once per degree.
// Parity enters only with irreps: an irrep of parity p has p·D_l where the determinant is -1.
#pragma once

#include "tether/symmetry/irreps.hpp"
#include "tether/symmetry/rotation.hpp"

#include <span>

namespace tether::symmetry {

[[nodiscard]] Matrix wigner_d(int l, const Quaternion& rotation); // 0 <= l <= max_degree
[[nodiscard]] Matrix irrep_matrix(const Irrep& ir, const O3Element& g);
// Block-diagonal, in the published memory order; dim x dim: for lists of moderate size.
[[nodiscard]] Matrix irreps_matrix(const Irreps& irreps, const O3Element& g);

// How the columns of features lie: published is per term [mul, 2l+1]; the programs of tether use
// component-major, per term [2l+1, mul].
enum class Layout { published, component_major };

// Acts with g on rows of features (in and out of a multiple of irreps.dim() entries, may be the
// same span) without building the block-diagonal matrix. T: float or double.
template <class T>
void transform_features(const Irreps& irreps, const O3Element& g, Layout layout, std::span<const T> in,
                        std::span<T> out);

} // namespace tether::symmetry
