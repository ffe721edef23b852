// See constraint.hpp.
#include "tether/methods/constraint.hpp"

#include "tether/core/error.hpp"
#include "tether/core/text.hpp"

#include <algorithm>
#include <cmath>

namespace tether::methods {
namespace {

bool is_released(ConstraintKind kind) {
    return kind == ConstraintKind::released_nbody || kind == ConstraintKind::released_qm9 ||
           kind == ConstraintKind::released_mocap;
}

// The message is built only where a size is wrong: these run in every step.
void check_sizes(const ConstraintForm& form, std::size_t sites, std::size_t slacks, std::size_t bounds) {
    const bool bound_needed = form.kind == ConstraintKind::released_mocap;
    if (slacks != (form.has_slack() ? sites : 0) || (bounds != sites && (bounds != 0 || bound_needed)))
        [[unlikely]] {
        fail(ExitCode::usage, "constraint {}: {} slacks and {} bounds for {} gates, expected {} and {}",
             constraint_name(form.kind), slacks, bounds, sites, form.has_slack() ? sites : 0, sites);
    }
}

double at(std::span<const double> values, std::size_t i) { return values.empty() ? 0.0 : values[i]; }

} // namespace

std::vector<std::string> constraint_names() {
    return {"equality", "resilient", "released-nbody", "released-qm9", "released-mocap"};
}

ConstraintKind constraint_kind(std::string_view name) {
    const std::vector<std::string> names = constraint_names();
    const auto found = std::ranges::find(names, name);
    check(found != names.end(), "unknown constraint '{}'{}", name, hint(name, names));
    return static_cast<ConstraintKind>(found - names.begin());
}

std::string constraint_name(ConstraintKind kind) {
    return constraint_names()[static_cast<std::size_t>(kind)];
}

ConstraintForm constraint_form(const ConstraintSettings& s, Index sites) {
    check(sites >= 1, "a constraint on the gates needs a model with sites, found {}", sites);
    check(std::isfinite(s.epsilon) && s.epsilon >= 0, "epsilon is {}, expected a value >= 0", s.epsilon);
    check(std::isfinite(s.rho) && s.rho > 0, "rho is {}, expected a value > 0", s.rho);
    check(std::isfinite(s.augmented) && s.augmented >= 0, "augmented is {}, expected a value >= 0",
          s.augmented);
    const std::string name = constraint_name(s.kind);
    check(s.epsilon == 0 || s.kind == ConstraintKind::equality || s.kind == ConstraintKind::released_mocap,
          "epsilon is {} with constraint {}, expected 0: its slacks take the place of epsilon", s.epsilon,
          name);
    check(!is_released(s.kind) || (s.augmented == 0 && !s.mean),
          "constraint {} reproduces published code and has neither an augmented term (found {}) nor dual "
          "scale mean",
          name, s.augmented);
    const bool clamped = s.kind != ConstraintKind::equality || s.epsilon > 0;
    if (s.is_signed) {
        check(!(*s.is_signed && clamped),
              "multipliers of either sign with constraint {}{}, expected multipliers >= 0: a negative one "
              "would reward the violation of |gate| <= bound",
              name, s.epsilon > 0 ? fmt::format(" and epsilon {}", s.epsilon) : "");
        check(*s.is_signed || clamped,
              "multipliers >= 0 with constraint equality and epsilon 0, expected multipliers of either "
              "sign: clamped ones could only push gates downwards");
    }
    return {.kind = s.kind,
            .epsilon = s.epsilon,
            .rho = s.rho,
            .augmented = s.augmented,
            .weight = s.mean ? 1 / static_cast<double>(sites) : 1.0,
            .clamped = clamped};
}

double add_constraint_terms(const ConstraintForm& form, std::span<const double> gamma,
                            std::span<const double> u, std::span<const double> lambda,
                            std::span<const double> bound, std::span<double> dgamma, std::span<double> du) {
    check_sizes(form, gamma.size(), u.size(), bound.size());
    check(lambda.size() == gamma.size() && dgamma.size() == gamma.size() && du.size() == u.size(),
          "constraint: {} multipliers, {} gate gradients and {} slack gradients for {} gates and {} slacks",
          lambda.size(), dgamma.size(), du.size(), gamma.size(), u.size());
    double loss = 0;
    for (std::size_t i = 0; i < gamma.size(); ++i) {
        const SiteTerms terms = site_terms(form, gamma[i], at(u, i), lambda[i], at(bound, i));
        loss += terms.loss;
        dgamma[i] += terms.dgamma;
        if (!du.empty()) {
            du[i] += terms.du;
        }
    }
    return loss;
}

void constraint_violation(const ConstraintForm& form, std::span<const double> gamma,
                          std::span<const double> u, std::span<const double> bound,
                          std::span<double> violation) {
    check_sizes(form, gamma.size(), u.size(), bound.size());
    check(violation.size() == gamma.size(), "constraint: {} violations for {} gates", violation.size(),
          gamma.size());
    for (std::size_t i = 0; i < gamma.size(); ++i) {
        violation[i] = site_terms(form, gamma[i], at(u, i), 0, at(bound, i)).violation;
    }
}

} // namespace tether::methods
