// Normalisations. Batch statistics are sums over all lanes of the global batch (Run::exchange), taken
// in double; instance statistics stay inside a graph, those of layers inside a row; the spectral norm
// concerns weights only.
#pragma once

#include "tether/program/builder.hpp"

#include <vector>

namespace tether::ops {

// One irrep of component-major features: `copies` channels of `components` (2l+1) each.
struct NormTerm {
    Index column, copies, components;
    bool centred; // scalars: the graph's mean is taken off, and a bias is added
};

// Per graph: scalars minus their mean; each copy times weight / sqrt(mean over nodes and components
// of x² + eps); bias on scalars. weight: one per copy, bias: one per centred copy.
Value instance_norm(Builder& b, Value x, Value weight, Value bias, const std::vector<NormTerm>& terms,
                    double eps);

// (x - mean) / sqrt(variance + eps) over the columns of a row; no weights.
Value layer_norm(Builder& b, Value x, double eps);

struct BatchNormState {
    Value mean, variance, count; // running statistics and number of batches seen
};
struct BatchNormOptions {
    double eps = 1e-5, momentum = 0.1;
    bool training = true;
};
// (x - mean) / sqrt(variance + eps) · weight + bias over all rows of the global batch; in evaluation
// with the running statistics. Running variance is the unbiased one.
Value batch_norm(Builder& b, Value x, Value weight, Value bias, const BatchNormState& state,
                 const BatchNormOptions& options);

// y / sigma for y = x Wᵀ, sigma = uᵀ W v of weight W [out x in]; `iterations` power iterations first (0:
// evaluation), u and v constant for the gradient. u, v: state values. W is used for nothing else.
Value divide_by_spectral_norm(Builder& b, Value y, Value weight, Value u, Value v, Index out, Index in,
                              int iterations);

} // namespace tether::ops
