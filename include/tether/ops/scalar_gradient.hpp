// The gradient of a scalar factor: sum over all elements of dy · x, by lanes and tree.
#pragma once

#include "tether/program/builder.hpp"

namespace tether::ops {

// Contributes sum(dy · x) to the gradient of input `input` of the operation being reversed.
void scalar_gradient(Reverse& r, int input, Value dy, Value x);

} // namespace tether::ops
