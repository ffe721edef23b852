// Checked, allocating shell around kernels/spherical_harmonics.hpp: names of the normalisations as
// job files spell them, and harmonics of many vectors on the host.
#pragma once

#include "tether/kernels/spherical_harmonics.hpp"
#include "tether/symmetry/irreps.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tether::symmetry {

using kernels::Normalisation;

[[nodiscard]] std::span<const std::string> normalisation_names(); // component, norm, integral
[[nodiscard]] Normalisation normalisation_by_name(std::string_view name);
[[nodiscard]] std::string normalisation_name(Normalisation normalisation);

// vectors [n, 3] → [n, (lmax+1)²]. Throws Error(usage) for lmax outside 0..6 or a wrong size.
[[nodiscard]] std::vector<double> spherical_harmonics(std::span<const double> vectors, int lmax,
                                                      Normalisation normalisation);
// Jacobian [n, (lmax+1)², 3] with respect to the vectors.
[[nodiscard]] std::vector<double> spherical_harmonics_jacobian(std::span<const double> vectors, int lmax,
                                                               Normalisation normalisation);

} // namespace tether::symmetry
