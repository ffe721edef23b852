// Linear maps by blocks: every block of the output is a sum of products of input blocks with views
// of one weight parameter. A plain Linear, a Linear of several concatenated inputs (no concatenation
// is made), and the weights of a tensor product (one block per irrep, `components` of 2l+1 rows
// sharing the weights) are all this one operation; so are their reverse maps.
#pragma once

#include "tether/kernels/activation.hpp"
#include "tether/program/builder.hpp"

#include <optional>
#include <vector>

namespace tether::ops {

// k columns of an input, from `column`, component m from `column + m * component_stride`.
struct BlockTerm {
    int input = 0;
    Index column = 0;
    Index component_stride = 0;
    WeightView weight; // offset relative to the parameter
};

struct Block {
    Index column = 0; // in the output
    Index component_stride = 0;
    Index components = 1;
    Index n = 0;
    std::vector<BlockTerm> terms;
};

struct BlockLinear {
    Index columns = 0; // of the output; columns that no block covers are zero
    std::vector<Block> blocks;
};

// y = act(blocks(inputs) + bias); the bias belongs to the first bias.columns output columns.
Value block_linear(Builder& b, const std::vector<Value>& inputs, Value weight, const BlockLinear& map,
                   std::optional<Value> bias = {}, Activation activation = Activation::none);

// Linear with weight [out, in] and bias [out], the inputs side by side.
Value linear(Builder& b, const std::vector<Value>& inputs, Value weight, Index out,
             std::optional<Value> bias = {}, Activation activation = Activation::none);
// Only `columns` [first, first + width of input) of a Linear's weight [out, in_total].
Value linear_part(Builder& b, Value input, Value weight, Index out, Index in_total, Index first,
                  std::optional<Value> bias = {});

// Appends the gradient of a bias: the column sums of the first bias.columns columns of dy.
void bias_gradient(Builder& b, Value dy, Value bias);

// Sum over rows, lane by lane and by the tree over lanes: [1 x columns].
Value column_sum(Builder& b, Value x);

} // namespace tether::ops
