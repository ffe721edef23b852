// `tether import WEIGHTS.h5 --job JOB.toml --runs DIR`: a run that starts from given weights.
#pragma once

#include <span>
#include <string>

namespace tether::cli {

// Arguments after `import`. Returns the exit code; throws Error.
int import_command(std::span<const std::string> arguments);

} // namespace tether::cli
