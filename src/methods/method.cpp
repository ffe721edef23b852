// What all methods share: the state of a method that has none, saving and loading.
#include "tether/methods/method.hpp"

#include "tether/core/error.hpp"

#include <algorithm>
#include <cmath>

namespace tether::methods {

bool Control::finite() const {
    return std::ranges::all_of(values_, [](double value) { return std::isfinite(value); });
}

MethodState::MethodState(const Start& start, std::size_t own)
    : control_(start.sites, start.tasks), own_(own, 0.0) {
    check(start.sites >= 0 && start.steps_per_epoch >= 1,
          "method state: {} sites and {} steps per epoch, expected 0 or more and 1 or more", start.sites,
          start.steps_per_epoch);
    check(start.tasks == 0 || start.tasks == 2, "method state: weights of {} tasks, expected 0 or 2",
          start.tasks);
    check(start.lambda.empty() || static_cast<Index>(start.lambda.size()) == start.sites,
          "method state: {} first multipliers for {} sites", start.lambda.size(), start.sites);
    std::ranges::copy(start.lambda, control_.lambda().begin());
}

void MethodState::advance(const StepInput& /*input*/) {}

std::vector<double> MethodState::save() const {
    std::vector<double> saved(control_.values().begin(), control_.values().end());
    saved.insert(saved.end(), own_.begin(), own_.end());
    return saved;
}

void MethodState::load(std::span<const double> saved) {
    const std::size_t shared = control_.values().size();
    check(saved.size() == shared + own_.size(), ExitCode::storage,
          "stored state of the method has {} numbers, expected {}: it belongs to another method or model",
          saved.size(), shared + own_.size());
    std::ranges::copy(saved.first(shared), control_.values().begin());
    std::ranges::copy(saved.subspan(shared), own_.begin());
}

Key gate_initial_key() {
    return {.name = "gate_initial",
            .kind = Kind::real,
            .standard = 1.0,
            .meaning = "value of every gate before the first step",
            .low = -100,
            .high = 100};
}

void Method::record(const TrainingProgram& /*program*/) const {}

Value Method::record_gate(const GateRecord& record) const {
    fail(ExitCode::usage, "method '{}' records no gate for site {}", name_, record.info.name);
}

double Method::primal_terms(const PrimalView& /*view*/) const { return 0; }

std::unique_ptr<MethodState> Method::start(const Start& start) const {
    return std::make_unique<MethodState>(start);
}

} // namespace tether::methods
