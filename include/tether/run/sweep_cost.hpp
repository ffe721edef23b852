// What the runs of a sweep are expected to cost: a few steps of every distinct kind of job (data,
// network, method; not learning rates or seeds) on one thread, each in a process of its own, so that
// its memory can be seen and its failure is no end of the plan.
#pragma once

#include "tether/run/job.hpp"

#include <limits>
#include <string>
#include <vector>

namespace tether::run {

struct Cost {
    Index steps = 0;        // of the whole training; 0: not known
    double step_s = nan;    // one thread
    double seconds = nan;   // steps and evaluations, one thread
    double memory_mb = nan; // greatest resident size of the measuring process
    static constexpr double nan = std::numeric_limits<double>::quiet_NaN();
};

// One cost for each job. Throws the Error that a job would end in (with its exit code), before any
// of them has been started.
[[nodiscard]] std::vector<Cost> measure_costs(const std::vector<Job>& jobs, Index steps);

} // namespace tether::run
