// Checks lmax and sizes, then loops the kernels over vectors; the Jacobian is the reverse product
// with each unit cotangent.
#include "tether/symmetry/harmonics.hpp"

#include "tether/core/error.hpp"
#include "tether/core/text.hpp"

#include <algorithm>
#include <array>

namespace tether::symmetry {
namespace {

const std::array<std::string, 3>& names() {
    static const std::array<std::string, 3> all{"component", "norm", "integral"}; // order of the enum
    return all;
}

std::size_t rows_of(std::span<const double> vectors, int lmax) {
    check(lmax >= 0 && lmax <= kernels::max_harmonic_degree,
          "spherical harmonics: degree {}, expected 0 to {}", lmax, kernels::max_harmonic_degree);
    check(vectors.size() % 3 == 0, "spherical harmonics: {} numbers, expected a multiple of 3",
          vectors.size());
    return vectors.size() / 3;
}

} // namespace

std::span<const std::string> normalisation_names() { return names(); }

Normalisation normalisation_by_name(std::string_view name) {
    const auto found = std::ranges::find(names(), name);
    check(found != names().end(), "no normalisation of spherical harmonics is called '{}'{}", name,
          hint(name, names()));
    return static_cast<Normalisation>(found - names().begin());
}

std::string normalisation_name(Normalisation normalisation) {
    return names()[static_cast<std::size_t>(normalisation)];
}

std::vector<double> spherical_harmonics(std::span<const double> vectors, int lmax,
                                        Normalisation normalisation) {
    const std::size_t rows = rows_of(vectors, lmax);
    const auto columns = static_cast<std::size_t>(kernels::harmonic_columns(lmax));
    std::vector<double> out(rows * columns);
    for (std::size_t row = 0; row < rows; ++row) {
        kernels::spherical_harmonics(vectors.data() + 3 * row, lmax, normalisation,
                                     out.data() + columns * row);
    }
    return out;
}

std::vector<double> spherical_harmonics_jacobian(std::span<const double> vectors, int lmax,
                                                 Normalisation normalisation) {
    const std::size_t rows = rows_of(vectors, lmax);
    const auto columns = static_cast<std::size_t>(kernels::harmonic_columns(lmax));
    std::vector<double> out(rows * columns * 3, 0.0);
    std::vector<double> unit(columns, 0.0);
    for (std::size_t row = 0; row < rows; ++row) {
        for (std::size_t column = 0; column < columns; ++column) {
            unit[column] = 1;
            kernels::spherical_harmonics_backward(vectors.data() + 3 * row, lmax, normalisation, unit.data(),
                                                  out.data() + (row * columns + column) * 3);
            unit[column] = 0;
        }
    }
    return out;
}

} // namespace tether::symmetry
