// The gated non-linearity of equivariant networks (kernels/gate.hpp).
#pragma once

#include "tether/kernels/gate.hpp"
#include "tether/program/builder.hpp"

#include <vector>

namespace tether::ops {

Value gate(Builder& b, Value x, const kernels::GateShape& shape,
           const std::vector<kernels::GatedTerm>& terms);

} // namespace tether::ops
