// Attention among the nodes of a graph (kernels/attention.hpp).
#pragma once

#include "tether/kernels/attention.hpp"
#include "tether/program/builder.hpp"

namespace tether::ops {

// Node rows [queries | keys | values] of shape.columns() -> [heads x channels]; every node attends to
// all nodes of its graph, itself included; graphs may have any number of nodes.
Value attention(Builder& b, Value x, const kernels::AttentionShape& shape);

} // namespace tether::ops
