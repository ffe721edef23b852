// Spherical harmonics of row vectors [rows x 3] up to a degree: [rows x (lmax+1)^2], degree by degree.
#pragma once

#include "tether/kernels/spherical_harmonics.hpp"
#include "tether/program/builder.hpp"

namespace tether::ops {

Value spherical_harmonics(Builder& b, Value vectors, int lmax, kernels::Normalisation normalisation);

} // namespace tether::ops
