// `tether sweep plan|run|submit|status|retry|cancel`: many runs from one file.
#pragma once

#include <span>
#include <string>

namespace tether::cli {

// Arguments after `sweep`. Returns the exit code; throws Error.
int sweep_command(std::span<const std::string> arguments);

} // namespace tether::cli
