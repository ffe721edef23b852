// `tether train JOB.toml ...`: trains, resumes, recognises a finished run.
#pragma once

#include <span>
#include <string>

namespace tether::cli {

int train_command(std::span<const std::string> arguments);

} // namespace tether::cli
