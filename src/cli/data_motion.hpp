// `tether data mocap`: motion files of the CMU database, or a file made of them, into the file that jobs
// name in [data].
#pragma once

#include "tether/cli/arguments.hpp"

namespace tether::cli {

[[nodiscard]] std::vector<Flag> motion_flags(); // beyond --out and --force
int convert_motion(const Arguments& arguments, const std::string& out);

} // namespace tether::cli
