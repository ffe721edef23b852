// What a run file says about a job before its first step, as far as it follows from the job, the data
// and the network; where and how it runs is added by who runs it.
#pragma once

#include "tether/run/run_file_layout.hpp"
#include "tether/run/setup.hpp"

#include <string>

namespace tether::run {

[[nodiscard]] RunDescription describe_setup(const Setup& setup);

// Units of the square; "1" (and nothing) stays "1".
[[nodiscard]] std::string squared_units(const std::string& units);
// The headline metric: its name, units and meaning.
[[nodiscard]] Quantity headline_of(const Setup& setup);
// Sites whose gate the task loss does not reach: it moves by its multiplier alone and says nothing
// about the data.
[[nodiscard]] std::vector<std::string> unreached_sites(const Network& network);

} // namespace tether::run
