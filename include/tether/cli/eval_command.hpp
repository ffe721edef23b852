// `tether eval RUN ...`: loss, metrics in the units of the data and equivariance error of a stored run.
#pragma once

#include <span>
#include <string>

namespace tether::cli {

// Arguments after `eval`. Returns the exit code; throws Error.
int eval_command(std::span<const std::string> arguments);

} // namespace tether::cli
