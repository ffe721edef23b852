// A program as a device runs it, where a launch costs more than memory: nothing is computed twice, and
// gradients of parameters come last, so that all of them are a few launches. The numbers are the same, and so
// are the values and the borders between the program's parts.
#pragma once

#include "tether/program/program.hpp"

#include <vector>

namespace tether {

[[nodiscard]] Program device_program(Program program);

// Per node: its outputs are gradients that no other node of the part touches before the reduction.
[[nodiscard]] std::vector<bool> writes_gradients_alone(const Program& program);

} // namespace tether
