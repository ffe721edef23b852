// Functors of tensor products and spherical harmonics.
#pragma once

#include "functors.hpp"

#include "tether/kernels/batch_rows.hpp"
#include "tether/kernels/bilinear_numbers.hpp"
#include "tether/kernels/spherical_harmonics.hpp"

namespace tether::kernels {

template <class T>
using TensorProductFunctors =
    Functors<PerNumber<BilinearNumbers<T, PlainFeatures<T>>>,
             PerNumber<BilinearNumbers<T, GatheredFeatures<T>>>, PerNumber<GatheredBackwardNumbers<T>>,
             PerNumber<AttributeGradientNumbers<T>>, PerRow<HarmonicsRow<T>>,
             PerRow<HarmonicsBackwardRow<T>>>;

} // namespace tether::kernels
