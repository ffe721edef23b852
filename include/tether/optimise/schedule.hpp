// Learning rate as a pure function of the epoch (methods.md 1.4, 2), so that nothing of it has to be
// stored: constant; cosine from the base rate to `minimum` over all epochs; step (times `factor` every
// `every` epochs); milestones (times `factor` at each given fraction of the epochs). Published runs
// that step their schedule at the start of an epoch see e + 1 in epoch e: `ahead`.
#pragma once

#include "tether/core/types.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tether::optimise {

enum class ScheduleKind : std::uint8_t { constant, cosine, step, milestones };

// Throws Error(usage) naming the nearest known schedule.
[[nodiscard]] ScheduleKind schedule_kind(std::string_view name);
[[nodiscard]] std::string schedule_name(ScheduleKind kind);
[[nodiscard]] std::vector<std::string> schedule_names();

struct ScheduleSettings {
    ScheduleKind kind = ScheduleKind::constant;
    double minimum = 0;                       // cosine: rate at the end
    double factor = 0.1;                      // step, milestones
    Index every = 20;                         // step: epochs
    std::vector<double> milestones{0.8, 0.9}; // milestones: fractions of all epochs, ascending
    bool ahead = false;                       // stepped at the start of an epoch
};

// Throws Error(usage).
void check_settings(const ScheduleSettings& settings);

// epoch counts from 0; epochs is the length of the whole training.
[[nodiscard]] double learning_rate(const ScheduleSettings& settings, double base, Index epoch, Index epochs);

} // namespace tether::optimise
