// Functors of matrix products and of sums over lanes.
#pragma once

#include "functors.hpp"

#include "tether/kernels/block_product.hpp"
#include "tether/kernels/elementwise.hpp"
#include "tether/kernels/lane_sums.hpp"

namespace tether::kernels {

template <class T>
using ProductFunctors = Functors<BlockProduct<T>, WeightGradientProduct<T>, PlacedTotals<T>>;

using RoundedProductFunctors = Functors<
    BlockProduct<float, ProductPrecision::tf32>, WeightGradientProduct<float, ProductPrecision::tf32>,
    BlockProduct<float, ProductPrecision::bf16>, WeightGradientProduct<float, ProductPrecision::bf16>>;

template <class T>
using SumFunctors =
    Functors<LaneSums<T, ProductLeaf<T>, 1>, LaneSums<T, ErrorLeaf<T>, 1>, LaneSumPieces<T>,
             LaneSums<T, SideBySideLeaf<T>, 32>, LaneTotals<T, PutTotal<T>>, ScaledLaneTotal<T>>;

} // namespace tether::kernels
