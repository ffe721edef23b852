// Functors of element-wise operations, number by number and row by row.
#pragma once

#include "functors.hpp"

#include "tether/kernels/batch_rows.hpp"
#include "tether/kernels/elementwise.hpp"

namespace tether::kernels {

template <class T>
using ElementwiseFunctors =
    Functors<SetNumbers<T>, CopyNumbers<T>, AddToNumbers<T>, PerFlat<AddNumbers<T>>,
             PerFlat<MultiplyNumbers<T>>, PerFlat<ScaleNumbers<T>>, PerFlat<ScaleNumbersBy<T>>,
             PerFlat<GatedAddNumbers<T>>, PerFlat<ClampNumbers<T>>, PerFlat<ErrorSlopeNumbers<T>>,
             PerNumber<ScaleRowNumbers<T>>, PerNumber<CopyColumnsNumbers<T>>,
             PerNumber<ConcatenateNumbers<T>>, PerNumber<PermuteNumbers<T>>, PerNumber<SetColumnNumbers<T>>,
             PerNumber<AddBiasNumbers<T>>, PerRow<DotRow<T>>, PerRow<NormRow<T>>>;

template <class T>
using ActivationFunctors =
    Functors<PerFlat<ActivateNumbers<T, Activation::none>>, PerFlat<ActivateNumbers<T, Activation::silu>>,
             PerFlat<ActivateNumbers<T, Activation::gelu>>, PerFlat<ActivateNumbers<T, Activation::sigmoid>>,
             PerFlat<ActivateNumbers<T, Activation::tanh>>, PerFlat<ActivateNumbers<T, Activation::relu>>,
             PerFlat<ActivateNumbers<T, Activation::leaky_relu>>>;

} // namespace tether::kernels
