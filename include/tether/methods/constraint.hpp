// The Lagrangian of constrained symmetry (methods.md 1.1 to 1.3): what multipliers and slacks add to
// the loss, to the gradients of gates and slacks, and by how much each constraint is violated. Pure
// functions in double, one site at a time, for host and device. Everything is taken at the values
// before the update; sign 0 = 0.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"

#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tether::methods {

enum class ConstraintKind : std::uint8_t {
    equality,       // gamma = 0; with epsilon > 0: |gamma| <= epsilon
    resilient,      // |gamma| <= u, penalty rho/2 u^2
    released_nbody, // released resilient forms, for comparison with published code only
    released_qm9,
    released_mocap // bound = copy of the multiplier at the start of the epoch; epsilon = 0: gamma <= 0
};

// "equality", "resilient", "released-nbody", "released-qm9", "released-mocap"; throws Error(usage).
[[nodiscard]] ConstraintKind constraint_kind(std::string_view name);
[[nodiscard]] std::string constraint_name(ConstraintKind kind);
[[nodiscard]] std::vector<std::string> constraint_names();

struct ConstraintSettings {
    ConstraintKind kind = ConstraintKind::equality;
    double epsilon = 0;              // equality: tolerated |gamma|. released_mocap: 0 or not, see above
    double rho = 1;                  // weight of the slack penalty
    double augmented = 0;            // c of c sum slack^2
    bool mean = false;               // multiplier terms of the loss divided by the number of sites
    std::optional<bool> is_signed{}; // multipliers of either sign; unset: as the constraint needs
};

// What is computed with at every site.
struct ConstraintForm {
    ConstraintKind kind = ConstraintKind::equality;
    double epsilon = 0;
    double rho = 1;
    double augmented = 0;
    double weight = 1;    // of the multiplier term: 1, or 1/sites
    bool clamped = false; // multipliers are kept >= 0

    [[nodiscard]] bool has_slack() const { // u exists and is trained with the primal variables
        return kind == ConstraintKind::resilient || kind == ConstraintKind::released_nbody ||
               kind == ConstraintKind::released_qm9;
    }
};

// Throws Error(usage) for values out of range and for combinations that mean nothing.
[[nodiscard]] ConstraintForm constraint_form(const ConstraintSettings& settings, Index sites);

struct SiteTerms {
    double loss = 0;      // added to the task loss
    double dgamma = 0;    // added to the gradient of the gate
    double du = 0;        // gradient of the slack
    double violation = 0; // ascent direction of the multiplier: minus its gradient
};

TETHER_HD inline double sign(double x) { return static_cast<double>(x > 0) - static_cast<double>(x < 0); }

// bound: the epoch's copy of the multiplier (released_mocap only).
TETHER_HD inline SiteTerms site_terms(const ConstraintForm& form, double gamma, double u, double lambda,
                                      double bound) {
    const double size = std::abs(gamma);
    const double direction = sign(gamma);
    SiteTerms terms;
    switch (form.kind) {
    case ConstraintKind::equality: {
        const bool one_sided = form.epsilon > 0;
        const double slack = one_sided ? size - form.epsilon : gamma;
        const double pull = form.weight * lambda + 2 * form.augmented * slack;
        terms.loss = form.weight * lambda * slack + form.augmented * slack * slack;
        terms.dgamma = one_sided ? pull * direction : pull;
        terms.violation = slack;
        break;
    }
    case ConstraintKind::resilient: {
        const double slack = size - u;
        const double pull = form.weight * lambda + 2 * form.augmented * slack;
        terms.loss = form.weight * lambda * slack + form.rho / 2 * u * u + form.augmented * slack * slack;
        terms.dgamma = pull * direction;
        terms.du = form.rho * u - pull;
        terms.violation = slack;
        break;
    }
    case ConstraintKind::released_nbody:
    case ConstraintKind::released_qm9: {
        const double penalty = form.kind == ConstraintKind::released_nbody ? form.rho : form.rho / 2;
        const double slack = size - u;
        terms.loss = penalty * u * u + (lambda - u) * slack;
        terms.dgamma = (lambda - u) * direction;
        terms.du = 2 * penalty * u - slack - (lambda - u);
        terms.violation = size - 2 * u;
        break;
    }
    case ConstraintKind::released_mocap: {
        const bool copies = form.epsilon > 0;
        const double slack = copies ? size - bound : gamma;
        terms.loss = lambda * slack;
        terms.dgamma = copies ? lambda * direction : lambda;
        terms.violation = slack;
        break;
    }
    }
    return terms;
}

// All sites. `u` and `du` are empty where there is no slack; `bound` may be empty but for
// released_mocap. Adds to dgamma and du; returns what is added to the loss.
double add_constraint_terms(const ConstraintForm& form, std::span<const double> gamma,
                            std::span<const double> u, std::span<const double> lambda,
                            std::span<const double> bound, std::span<double> dgamma, std::span<double> du);

void constraint_violation(const ConstraintForm& form, std::span<const double> gamma,
                          std::span<const double> u, std::span<const double> bound,
                          std::span<double> violation);

} // namespace tether::methods
