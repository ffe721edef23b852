// What the sites of a network do on a fixed probe batch (the first samples of the validation split): branch
// ratios, estimates of the constants of the bounds (methods/site_measure.hpp), the bounds with the gates as
// they are, and how far branches move the output. One thread, the same numbers on every rank.
#pragma once

#include "tether/program/executor.hpp"
#include "tether/run/probe_result.hpp"
#include "tether/run/setup.hpp"

#include <memory>
#include <span>
#include <vector>

namespace tether::run {

template <class T>
class SiteProbe {
public:
    // Records a program of its own. Throws Error(usage) for a network without sites.
    explicit SiteProbe(const Setup& setup);

    // gamma: of all sites as they are; controlled_gates: as for Evaluator::loss.
    [[nodiscard]] ProbeResult measure(std::span<const T> parameters, std::span<const T> state,
                                      std::span<const double> gamma,
                                      std::span<const double> controlled_gates);

private:
    void run(const Program& program, HostExecutor<T>& executor, PackedWeights<T>& packed,
             const BatchPart<T>& part, std::span<const T> parameters, std::span<const T> state,
             std::span<const double> controlled_gates);
    [[nodiscard]] std::vector<methods::SiteRows> rows() const;

    const Setup& setup_;
    std::unique_ptr<Program> program_;
    HostExecutor<T> executor_;
    HostExecutor<T> projected_;
    PackedWeights<T> packed_, packed_projected_;
    std::vector<Index> samples_;
    BatchPart<T> part_, turned_;
};

} // namespace tether::run
