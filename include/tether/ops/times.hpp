// Along the times of an extent (Extent::times rows for every node or edge): fixed linear maps, such as
// Fourier sums, repeating and choosing; and constants that depend on the time alone.
#pragma once

#include "tether/program/builder.hpp"

#include <vector>

namespace tether::ops {

// out[k] = Σ_t entry(k, t) · in[t]; entries row-major [to x from]. With `differences`, in[t] - in[0] takes
// the place of in[t] for t > 0: what is the same at all times then gives entry(k, 0) · in[0] exactly,
// where a Fourier sum would leave rounding (which Adam turns into whole steps).
struct TimeMap {
    Index to = 1, from = 1;
    std::vector<double> entries;
    bool differences = false;
};

// The row of a node or edge is cut into `map.from` equal parts, whether they are its times or column
// blocks of one row, and `map.to` parts come out, as rows of `out_times` times.
Value mix_times(Builder& b, Value x, const TimeMap& map, Index out_times);

Value repeat_times(Builder& b, Value x, Index times); // rows of one time, `times` times each
Value last_times(Builder& b, Value x, Index count);   // the last `count` of the times
// Rows of one time, `times` times each, with row t of `table` [times x width] in further columns.
Value with_time_columns(Builder& b, Value x, Index times, const std::vector<double>& table);

} // namespace tether::ops
