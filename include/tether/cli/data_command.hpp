// `tether data SET --out FILE.h5 ...`: simulates or converts a data set once.
#pragma once

#include <span>
#include <string>

namespace tether::cli {

// Arguments after `data`. Returns the exit code; throws Error.
int data_command(std::span<const std::string> arguments);

} // namespace tether::cli
