// Losses as sums over the rows of this part of the batch, times a factor set per step (one over the
// number of terms in the global batch), so that adding parts gives the mean over the whole batch.
#pragma once

#include "tether/program/builder.hpp"

namespace tether::ops {

// factor · sum (prediction - target)²,  factor · sum |prediction - target|: [1 x 1].
Value squared_error(Builder& b, Value prediction, Value target, Value factor);
Value absolute_error(Builder& b, Value prediction, Value target, Value factor);
// sum of x · y over all elements: [1 x 1].
Value inner_product(Builder& b, Value x, Value y);

} // namespace tether::ops
