// `ace` and `ace-resilient`: gates held to zero, or to a trained slack, by multipliers (methods.md 1).
// Keys: constraint (equality; resilient), variant of the resilient form (specified; released-nbody,
// released-qm9, released-mocap), epsilon (0), rho (1), augmented (0), gate_initial (1), and from [dual]
// scale (sum; mean) as `mean`, signed as `is_signed`. Multipliers start at 0, slacks at 0.
#include "tether/core/error.hpp"
#include "tether/core/text.hpp"
#include "tether/methods/constraint.hpp"
#include "tether/methods/method.hpp"

#include <algorithm>
#include <cmath>

namespace tether::methods {
namespace {

class AceState : public MethodState {
public:
    AceState(const Start& start, const ConstraintForm& form, const DualSettings& dual)
        : MethodState(start, dual_state_size(dual.kind, static_cast<std::size_t>(start.sites))), form_(form),
          dual_(dual), steps_per_epoch_(start.steps_per_epoch),
          violation_(static_cast<std::size_t>(start.sites)) {
        copy_bound(); // step 0 starts an epoch
    }

    void advance(const StepInput& input) override {
        constraint_violation(form_, input.gamma, input.u, control_.bound(), violation_);
        advance_dual(dual_, form_.clamped, input.learning_rate, violation_, control_.lambda(), own_);
        if ((input.step + 1) % steps_per_epoch_ == 0) {
            copy_bound();
        }
    }

private:
    void copy_bound() {
        if (form_.kind == ConstraintKind::released_mocap) {
            std::ranges::copy(control_.lambda(), control_.bound().begin());
        }
    }

    ConstraintForm form_;
    DualSettings dual_;
    Index steps_per_epoch_;
    std::vector<double> violation_;
};

class Ace : public Method {
public:
    Ace(const std::string& name, const ConstraintSettings& constraint, const DualSettings& dual,
        double gate_initial)
        : Method(name), constraint_(constraint), form_(constraint_form(constraint, 1)), dual_(dual),
          gate_initial_(gate_initial) {
        check(std::isfinite(gate_initial), "method.gate_initial is {}, expected a number", gate_initial);
        check_settings(dual_);
    }

    [[nodiscard]] SitePolicy sites() const override {
        return {.gate = Gate::trained,
                .initial_gamma = gate_initial_,
                .slack = form_.has_slack(),
                .initial_u = 0};
    }
    [[nodiscard]] Needs needs() const override { return Needs::sites; }
    [[nodiscard]] Evaluation primary() const override {
        return constraint_.kind == ConstraintKind::equality ? Evaluation::projected : Evaluation::relaxed;
    }
    [[nodiscard]] bool has_multipliers() const override { return true; }

    double primal_terms(const PrimalView& view) const override {
        ConstraintForm form = form_;
        if (constraint_.mean) {
            form.weight = 1 / static_cast<double>(view.gamma.size());
        }
        return add_constraint_terms(form, view.gamma, view.u, view.control.lambda(), view.control.bound(),
                                    view.dgamma, view.du);
    }
    [[nodiscard]] std::unique_ptr<MethodState> start(const Start& start) const override {
        return std::make_unique<AceState>(start, constraint_form(constraint_, start.sites), dual_);
    }

private:
    ConstraintSettings constraint_;
    ConstraintForm form_; // of one site
    DualSettings dual_;
    double gate_initial_;
};

std::unique_ptr<Method> make_ace(const MethodSettings& settings) {
    const Settings& values = settings.values;
    const bool resilient_name = settings.name == "ace-resilient";
    const auto real = [&](const char* key, double standard) {
        return values.has(key) ? values.real(key) : standard;
    };
    const auto text = [&](const char* key, const char* standard) {
        return values.has(key) ? values.text(key) : std::string(standard);
    };
    const std::string constraint = text("constraint", resilient_name ? "resilient" : "equality");
    const std::string variant = text("variant", "specified");
    check(!resilient_name || constraint == "resilient",
          "method.constraint is '{}' with method.name 'ace-resilient', expected 'resilient'", constraint);

    ConstraintSettings s;
    s.kind = constraint_kind(constraint);
    check(s.kind == ConstraintKind::equality || s.kind == ConstraintKind::resilient,
          "method.constraint is '{}', expected 'equality' or 'resilient' (with method.variant = '{}')",
          constraint, constraint);
    if (variant != "specified") {
        check(
            s.kind == ConstraintKind::resilient,
            "method.variant is '{}' with method.constraint '{}', expected 'specified': variants are forms of "
            "'resilient'",
            variant, constraint);
        s.kind = constraint_kind(variant);
        check(s.kind != ConstraintKind::equality && s.kind != ConstraintKind::resilient,
              "method.variant is '{}', expected specified, released-nbody, released-qm9 or released-mocap",
              variant);
    }
    s.epsilon = real("epsilon", 0);
    s.rho = real("rho", 1);
    s.augmented = real("augmented", 0);
    s.mean = settings.dual.mean;
    s.is_signed = settings.dual.is_signed;
    return std::make_unique<Ace>(settings.name, s, settings.dual, real("gate_initial", 1));
}

} // namespace

MethodEntry ace_entry();
MethodEntry ace_entry() {
    const auto equality = Condition{"method.constraint", {"equality"}};
    const auto resilient = Condition{"method.constraint", {"resilient"}};
    const auto specified = Condition{"method.variant", {"specified"}};
    const Key epsilon{.name = "epsilon",
                      .kind = Kind::real,
                      .standard = 0.0,
                      .meaning = "tolerated |gate|; > 0: slack |gate| - epsilon, multipliers >= 0",
                      .low = 0,
                      .high = 100};
    const Key augmented{.name = "augmented",
                        .kind = Kind::real,
                        .standard = 0.0,
                        .meaning = "weight c of the term c * sum of slack^2 in the loss",
                        .low = 0,
                        .high = 1e6};
    const auto with = [](Key key, std::vector<Condition> when) {
        key.when = std::move(when);
        return key;
    };
    return {method_choice(
                "ace", "trained gates held to zero (or to a slack) by multipliers",
                {{.name = "constraint",
                  .kind = Kind::text,
                  .standard = std::string("equality"),
                  .meaning = "gate = 0, or |gate| <= u with a trained slack u",
                  .words = {"equality", "resilient"}},
                 {.name = "variant",
                  .kind = Kind::text,
                  .standard = std::string("specified"),
                  .meaning = "resilient form; released-*: as in published code, for comparison only",
                  .words = {"specified", "released-nbody", "released-qm9", "released-mocap"},
                  .when = {resilient}},
                 {.name = "rho",
                  .kind = Kind::real,
                  .standard = 1.0,
                  .meaning = "weight of the slack penalty rho/2 |u|^2",
                  .low = 1e-12,
                  .high = 1e12,
                  .when = {resilient, {"method.variant", {"specified", "released-nbody", "released-qm9"}}}},
                 with(epsilon, {equality}),
                 with(epsilon, {resilient, {"method.variant", {"released-mocap"}}}),
                 with(augmented, {equality}),
                 with(augmented, {resilient, specified}),
                 gate_initial_key()},
                {"dual"}),
            make_ace};
}

// Read as ace with constraint = "resilient" (job_reader), so that both spellings are one job.
MethodEntry ace_resilient_entry();
MethodEntry ace_resilient_entry() {
    return {method_choice("ace-resilient", "ace with constraint = \"resilient\""), make_ace};
}

} // namespace tether::methods
