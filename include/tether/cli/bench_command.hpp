// `tether bench JOB.toml ...`: whole training steps of a job, beside the machine's peak.
#pragma once

#include <span>
#include <string>

namespace tether::cli {

int bench_command(std::span<const std::string> arguments);

} // namespace tether::cli
