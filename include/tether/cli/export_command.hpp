// `tether export RUN --out weights.h5`: the parameters of a run under the published names.
#pragma once

#include <span>
#include <string>

namespace tether::cli {

// Arguments after `export`. Returns the exit code; throws Error.
int export_command(std::span<const std::string> arguments);

} // namespace tether::cli
