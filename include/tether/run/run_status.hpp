// What can be said about a run from its folder alone: the truth about its state (run file and lease
// together), progress, rate and last figures. Never throws for a run that is missing parts or is
// damaged: that is what it reports.
#pragma once

#include "tether/run/run_folder.hpp"

#include <limits>
#include <string>

namespace tether::run {

struct RunReport {
    std::string folder;
    RunCondition condition = RunCondition::unreadable;
    std::string problem; // why it is unreadable; else empty
    std::string holder;  // who writes it now; else empty
    std::string model, method;
    Index step = 0;
    Index total_steps = 0;
    double steps_per_s = nan; // over the last rows of /train
    double eta_s = nan;       // of a running run
    double loss = nan;        // of the last row
    double projected = nan;   // last validation
    double relaxed = nan;
    std::string metric;                       // name and units of the two
    double gamma_low = nan, gamma_high = nan; // over the sites of the last row
    double lambda_low = nan, lambda_high = nan;
    BestFigures best;

    static constexpr double nan = std::numeric_limits<double>::quiet_NaN();
};

[[nodiscard]] RunReport inspect_run(const std::string& folder);

} // namespace tether::run
