// The part of `tether eval` about sites: gate, multiplier, slack, branch ratio, estimated constants and
// what the bounds make of them.
#pragma once

#include "tether/run/probe_result.hpp"
#include "tether/run/stored_run.hpp"

#include <nlohmann/json.hpp>

#include <string>

namespace tether::cli {

[[nodiscard]] nlohmann::json sites_json(const run::StoredRun& run, const run::ProbeResult& probe);
[[nodiscard]] std::string sites_text(const run::StoredRun& run, const run::ProbeResult& probe,
                                     const std::string& units);

} // namespace tether::cli
