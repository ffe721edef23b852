// Fully connected tensor products of features with attributes, weights shared by all rows (spec:
// models, section 1), and the gate. Features are component-major per term (symmetry/layout.hpp).
// A path (a, b, c) is computed in the cheaper order: contraction with the attributes before the
// weights when 2l_c+1 <= 2l_a+1, weights first otherwise. Messages apply all weights on nodes, before
// anything is gathered to edges, so that edges only carry the contraction.
#pragma once

#include "tether/program/builder.hpp"
#include "tether/symmetry/irreps.hpp"

#include <optional>
#include <string>
#include <vector>

namespace tether::layers {

// Features of some irreps (taken simplified); several side by side form one input of a product.
struct Features {
    Value value;
    symmetry::Irreps irreps;
};

struct TensorProductOptions {
    bool bias = true; // for the 0e terms of the output
    ParameterKind kind = ParameterKind::equivariant;
};

// Published names: `name`.tp.weight, `name`.biases. Attributes without value: the constant 1 (1x0e).
Value tensor_product(Builder& b, const std::string& name, const std::vector<Features>& inputs,
                     const Features& attributes, const symmetry::Irreps& out,
                     const TensorProductOptions& options = {});

// Edge rows of the product of [x_receiver, x_sender, extra] with edge attributes; extra: scalars 0e.
Value message_tensor_product(Builder& b, const std::string& name, const Features& node, Value extra,
                             const Features& attributes, const symmetry::Irreps& out,
                             const TensorProductOptions& options = {});

// What a gate makes of `out`: [scalars + gates]x0e + gated terms.
symmetry::Irreps before_gate(const symmetry::Irreps& out);
// SiLU on scalars and gates on the rest, with the published constants; only scalars: plain SiLU.
Value gate(Builder& b, Value x, const symmetry::Irreps& out);

} // namespace tether::layers
