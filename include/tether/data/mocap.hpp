// The motion capture task: with v_t = x_{t+1} - x_t (the last frame of a trial has none and is dropped),
// from x_t and v_t to x_{t+horizon-times+1} .. x_{t+horizon}. Node fields position, velocity [3], height
// [1] = y/10, position_later [times x 3], target [3] (its last time); edge field kind [1]: 1 for a bone,
// 2 for joints two bones apart, both directions. The law is symmetric under turns about the vertical axis
// y and reflections in vertical planes. Source: the EGNO preparation of the CMU data.
#pragma once

#include "tether/data/graph_set.hpp"

namespace tether::data {

struct MocapOptions {
    Index train = 0; // samples at most: the first train/trials starts of every trial; 0: all
    Index validation = 0;
    Index test = 0;
    Index horizon = 30; // frames ahead
    Index times = 5;    // of them predicted, the last ones
};

// A file in the layout of motion.hpp. Throws Error(data), also for starts too near the end of a trial.
[[nodiscard]] GraphSet open_mocap(const std::string& path, const MocapOptions& options);

} // namespace tether::data
