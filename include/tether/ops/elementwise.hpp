// Operations without matrix products or neighbours: sums, products, scalings, activations, columns.
// Rows are independent everywhere except in the scalars' gradients, which are sums by lanes.
#pragma once

#include "tether/kernels/activation.hpp"
#include "tether/program/builder.hpp"

#include <vector>

namespace tether::ops {

Value add(Builder& b, std::vector<Value> values);            // same shape
Value multiply(Builder& b, Value x, Value y);                // same shape, element by element
Value scale(Builder& b, Value x, double factor);             // factor · x
Value scale_by(Builder& b, Value x, Value scalar);           // scalar: [1 x 1] parameter or control
Value gated_add(Builder& b, Value x, Value scalar, Value y); // x + scalar · y
Value scale_rows(Builder& b, Value x, Value s);              // x[r, :] · s[r], s of one column
Value row_dot(Builder& b, Value x, Value y);                 // [rows x 1]
Value row_norm(Builder& b, Value x);                         // Euclidean; gradient 0 at 0
Value activation(Builder& b, Value x, Activation kind);
Value clamp(Builder& b, Value x, double bound); // to [-bound, bound]; slope 0 outside
// Columns [first, first + count) of x; x with zeros around it; several side by side.
Value slice(Builder& b, Value x, Index first, Index count);
Value place(Builder& b, Value x, Index first, Index columns);
Value concatenate(Builder& b, const std::vector<Value>& values);
// Column c of the result is column order[c] of x.
Value permute(Builder& b, Value x, const std::vector<Index>& order);
// Column `column` replaced by a constant (no gradient flows to it).
Value set_column(Builder& b, Value x, Index column, double value);
// x + bias row by row, bias [1 x columns].
Value add_bias(Builder& b, Value x, Value bias);

} // namespace tether::ops
