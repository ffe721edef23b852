// The keys of every section of a job file that exist whatever is chosen. Private to run.
#pragma once

#include "tether/run/job_keys.hpp"

#include <string>
#include <vector>

namespace tether::run {

// section: one of job_sections(); "" are the keys before the first section.
[[nodiscard]] std::vector<Key> keys_of(const std::string& section);

} // namespace tether::run
