// What a probe of the sites found (run/probe.hpp), and its way through a message.
#pragma once

#include "tether/methods/site_measure.hpp"

#include <span>
#include <vector>

namespace tether::run {

struct ProbeResult {
    methods::SiteFigures sites;
    methods::BoundConstants constants; // estimates
    double equivariance_bound = 0;     // of the norm of a sample's error under one group element
    double truncation_bound = 0;       // of the norm of what branches change in a sample's output
    double truncation = 0;             // that norm, the largest of the batch

    void encode(std::vector<double>& to) const; // appended
    // Throws Error(peer) for a length that no result has.
    static ProbeResult decode(std::span<const double> from);
};

} // namespace tether::run
