// Linear layers and perceptrons with the names and the default initialisation of the published
// implementations: weight [out, in] and bias [out] from U(±1/sqrt(in)).
#pragma once

#include "tether/kernels/activation.hpp"
#include "tether/program/builder.hpp"

#include <optional>
#include <string>
#include <vector>

namespace tether::layers {

struct LinearOptions {
    bool bias = true;
    Activation activation = Activation::none;
    ParameterKind kind = ParameterKind::equivariant;
    std::optional<Initial> initial = {}; // of the weight; default U(±1/sqrt(in))
    // Where columns inside lie in the published order: inside[k] = published[order[k]]; empty: same.
    // The weights are stored for the order inside and converted at import and export.
    std::vector<Index> input_order = {}, output_order = {};
};

// Declares (or finds) `name`.weight [out, in] and `name`.bias [out].
Value linear_weight(Builder& b, const std::string& name, Index out, Index in, const LinearOptions& options);
std::optional<Value> linear_bias(Builder& b, const std::string& name, Index out, Index in,
                                 const LinearOptions& options);

// y = act(W [inputs side by side] + bias)
Value linear(Builder& b, const std::string& name, const std::vector<Value>& inputs, Index out,
             const LinearOptions& options = {});

} // namespace tether::layers
