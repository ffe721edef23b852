// Functors of the update of the flat vector: sums over ranks, norm, method's terms, optimiser, what goes back
// to the host.
#pragma once

#include "functors.hpp"

#include "tether/kernels/device_peaks.hpp"
#include "tether/kernels/lane_sums.hpp"
#include "tether/kernels/tree_add.hpp"
#include "tether/kernels/update.hpp"

namespace tether::kernels {

template <class T>
using UpdateFunctors =
    Functors<TreeAddNumbers<T>, AddTerms<T>, UpdateElements<T>, StoreNumbers<T>,
             LaneSums<double, SquareLeaf<T>, 1>, LaneTotals<double, PutNorm>, FusedChains<T>>;

} // namespace tether::kernels
