// Random numbers of a step as fields of the batch, for nodes that methods record: pure functions of
// (seed, step, sample), so that no part of the batch depends on where it is computed. The trainer fills
// every field whose name begins with drawn_prefix (run/draws.hpp).
#pragma once

#include "tether/program/builder.hpp"

#include <string>

namespace tether::methods {

inline constexpr const char* drawn_prefix = "drawn.";

// D_l of one random rotation of the data's group per graph (the same for every l), row-major: [graphs x
// (2l+1)²].
inline Value drawn_turn(Builder& b, int l) {
    const Index n = 2 * Index{l} + 1;
    return b.input(drawn_prefix + std::string("turn") + std::to_string(l), {Axis::graph, 1}, n * n);
}

// 1/n for n rows of the global batch, 0 for all others: all rows if there are at most `drawn_rows_most`,
// else so many at random. [rows x 1]
inline constexpr Index drawn_rows_most = 256;
inline Value drawn_rows(Builder& b, Extent extent) {
    return b.input(drawn_prefix + std::string("rows") + std::to_string(static_cast<int>(extent.axis)) + "x" +
                       std::to_string(extent.times),
                   extent, 1);
}

} // namespace tether::methods
