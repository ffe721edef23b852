// `tether verify FILE.h5...`: parity with an independent implementation, one row per file.
#pragma once

#include <span>
#include <string>

namespace tether::cli {

int verify_command(std::span<const std::string> arguments);

} // namespace tether::cli
