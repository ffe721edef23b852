// Private to ops: the gradient of the weights of a block-linear map (block_linear.cpp).
#pragma once

#include "tether/program/builder.hpp"

#include <memory>
#include <vector>

namespace tether::ops {

// Rows of a block-linear map read together before the next ones: they stay in the first-level and
// second-level caches. A multiple of every register block.
inline constexpr Index chunk_rows = 84;

// One weight view: x[., x_column + m x_stride + k] and dy[., y_column + m y_stride + n], m < components.
struct WeightPart {
    int input;
    Index x_column, x_stride, y_column, y_stride, components;
    WeightView weight;
};

// Inputs: those of the map, then dy; output: the gradient of the parameter. Every view is written once.
[[nodiscard]] std::shared_ptr<const Op> weight_gradient(std::vector<WeightPart> parts, Extent rows);

} // namespace tether::ops
