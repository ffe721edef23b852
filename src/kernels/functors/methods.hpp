// Functors of what methods add to a step: priors, the bracket penalty, critics.
#pragma once

#include "functors.hpp"

#include "tether/kernels/batch_rows.hpp"
#include "tether/kernels/bracket.hpp"
#include "tether/kernels/critic.hpp"
#include "tether/kernels/critic_update.hpp"
#include "tether/kernels/elementwise.hpp"
#include "tether/kernels/lane_sums.hpp"
#include "tether/kernels/prior.hpp"

namespace tether::kernels {

template <class T>
using MethodFunctors = Functors<PriorGradientNumbers<T>, LaneSums<double, PriorLeaf<T>, 1>,
                                LaneTotals<double, PutRounded<T>>, BracketGram<T>, BracketNumbers<T>,
                                BracketProducts<T>, BracketRowSums<T>, BracketTotals<T>, BracketGradients<T>>;

template <class T>
using CriticFunctors = Functors<ChosenRows<T>, PerNumber<CriticInput<T>>, CriticAdam<T>, CriticClip<T>,
                                PerNumber<CriticSlopes<T>>, LaneSums<T, CriticGradientLeaf<T>, 32>,
                                LaneSums<double, CriticSquareLeaf<T>, 2>, CriticScale<T>, CriticDifference<T>,
                                LaneSums<double, ColumnLeaf<double>, 8>, CriticGateEnd<T>>;

} // namespace tether::kernels
