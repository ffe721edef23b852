// `tether status RUN...`: what runs are doing, also while they are being written.
#pragma once

#include <span>
#include <string>

namespace tether::cli {

// Arguments behind the word `status`. Returns the process exit code; throws Error(usage).
[[nodiscard]] int status_command(std::span<const std::string> arguments);

} // namespace tether::cli
