// Functors of norms over batches, graphs and rows, and of spectral norms of weights.
#pragma once

#include "functors.hpp"

#include "tether/kernels/batch_norm.hpp"
#include "tether/kernels/batch_rows.hpp"
#include "tether/kernels/elementwise.hpp"
#include "tether/kernels/instance_norm.hpp"
#include "tether/kernels/lane_sums.hpp"
#include "tether/kernels/layer_norm.hpp"
#include "tether/kernels/spectral_norm.hpp"

namespace tether::kernels {

template <class T>
using NormFunctors =
    Functors<LaneSums<double, BatchMomentLeaf<T>, 32>, LaneTotals<double, PutTotal<double>>,
             BatchNormColumn<T>, PerNumber<BatchNormNumbers<T>>, LaneSums<double, BatchGradientLeaf<T>, 32>,
             BatchGradientTotals<T>, PerNumber<BatchNormBackwardNumbers<T>>, PerNumber<InstanceNormCopies<T>>,
             PerNumber<InstanceNormBackwardCopies<T>>, LaneSums<T, InstanceParameterLeaf<T>, 32>,
             LayerNormTeam<T>, LayerNormBackwardTeam<T>, PowerIterations<T>, SpectralProduct<T>,
             SpectralGradientNumbers<T>>;

} // namespace tether::kernels
