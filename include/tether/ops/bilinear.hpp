// The sparse bilinear map of kernels/bilinear.hpp as an operation: contraction of features with
// attributes before or after the weights of a tensor product (layers/tensor_product).
#pragma once

#include "tether/program/builder.hpp"

#include <optional>
#include <vector>

namespace tether::ops {

// out block [out_column, +length) += coefficient · a[attribute] · x block [x_column, +length)
struct BilinearTerm {
    Index out_column, x_column, attribute, length;
    double coefficient;
};

struct BilinearMap {
    Index columns = 0; // of the output
    std::vector<BilinearTerm> terms;
};

// Optional: `add` [rows x columns] is added; `bias` to the first bias.columns columns.
struct BilinearOptions {
    std::optional<Value> add = {};
    std::optional<Value> bias = {};
};

Value bilinear(Builder& b, Value x, Value attributes, const BilinearMap& map,
               const BilinearOptions& options = {});

// The same with x given as sums of gathered node rows, never materialised:
// x[e] = at_receiver[receiver(e)] + at_sender[sender(e)] (+ on_edge[e]); on_edge may have only the
// first columns of x.
Value gathered_bilinear(Builder& b, Value at_receiver, Value at_sender, std::optional<Value> on_edge,
                        Value attributes, const BilinearMap& map, const BilinearOptions& options = {});

} // namespace tether::ops
