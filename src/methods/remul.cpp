// `remul`: equivariance as a second task of an unconstrained network (Elhag, Rusch, Di Giovanni,
// Bronstein, "Relaxed equivariance via multitask learning", 2024; spec: methods, section 3):
//     alpha · loss(f(x), y) + beta · loss(f(g x), g y),   g random, fresh for every sample and step.
// Keys: policy (constant; gradual), alpha (1, constant only), beta (1; gradual: of the first step).
// A constant weight of 0 takes its task out of the program: alpha = 0, beta = 1 is `augment`, bit for bit.
#include "tether/methods/remul.hpp"

#include "tether/core/error.hpp"
#include "tether/methods/method.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tether::methods {

GradNormStep gradnorm(const GradNormSettings& settings, const TaskPair& weight, const TaskPair& loss,
                      const TaskPair& first, const TaskPair& norm) {
    GradNormStep step{};
    TaskPair progress{};
    for (std::size_t k = 0; k < 2; ++k) {
        step.weighted[k] = weight[k] * norm[k];
        // A loss that was zero from the start has nowhere to go.
        progress[k] = first[k] > 0 ? loss[k] / first[k] : 1.0;
    }
    const double mean_weighted = (step.weighted[0] + step.weighted[1]) / 2;
    const double mean_progress =
        std::max((progress[0] + progress[1]) / 2, std::numeric_limits<double>::min());
    double sum = 0;
    for (std::size_t k = 0; k < 2; ++k) {
        step.ratio[k] = progress[k] / mean_progress;
        step.target[k] = mean_weighted * std::pow(step.ratio[k], settings.exponent);
        const double excess = step.weighted[k] - step.target[k];
        const double sign = excess > 0 ? 1.0 : (excess < 0 ? -1.0 : 0.0);
        step.weight[k] = std::max(settings.minimum, weight[k] - settings.rate * norm[k] * sign);
        sum += step.weight[k];
    }
    for (double& w : step.weight) {
        w *= 2 / sum;
    }
    return step;
}

namespace {

class RemulState : public MethodState {
public:
    // own_: losses of the first step; whether there was one.
    RemulState(const Start& start, const TaskPair& weight, bool gradual)
        : MethodState(start, gradual ? 3 : 0), gradual_(gradual) {
        if (start.tasks == 2) {
            std::ranges::copy(weight, control_.tasks().begin());
        }
    }

    void advance(const StepInput& input) override {
        if (!gradual_) {
            return;
        }
        check(input.task_loss.size() == 2 && input.task_norm.size() == 2,
              "remul: {} losses and {} gradient norms of its tasks, expected 2 of each",
              input.task_loss.size(), input.task_norm.size());
        const auto pair = [](std::span<const double> values) { return TaskPair{values[0], values[1]}; };
        if (own_[2] == 0) {
            std::ranges::copy(input.task_loss, own_.begin());
            own_[2] = 1;
        }
        const GradNormStep step =
            gradnorm({}, pair(control_.tasks()), pair(input.task_loss), pair(own_), pair(input.task_norm));
        std::ranges::copy(step.weight, control_.tasks().begin());
    }

private:
    bool gradual_;
};

class Remul : public Method {
public:
    Remul(const std::string& name, bool gradual, double alpha, double beta)
        : Method(name), gradual_(gradual), weight_{alpha, beta} {}
    [[nodiscard]] SitePolicy sites() const override { return {.gate = Gate::absent, .initial_gamma = 0}; }
    [[nodiscard]] Needs needs() const override { return Needs::no_sites; }
    [[nodiscard]] Evaluation primary() const override { return Evaluation::relaxed; }
    [[nodiscard]] Tasks tasks() const override {
        return {.plain = gradual_ || weight_[0] > 0, .turned = gradual_ || weight_[1] > 0};
    }
    [[nodiscard]] bool measures_tasks() const override { return gradual_; }
    [[nodiscard]] std::unique_ptr<MethodState> start(const Start& start) const override {
        return std::make_unique<RemulState>(start, weight_, gradual_);
    }

private:
    bool gradual_;
    TaskPair weight_;
};

std::unique_ptr<Method> make_remul(const MethodSettings& settings) {
    const Settings& values = settings.values;
    const std::string policy = values.has("policy") ? values.text("policy") : "constant";
    check(policy == "constant" || policy == "gradual",
          "method.policy is '{}', expected 'constant' or 'gradual'", policy);
    const bool gradual = policy == "gradual";
    const double alpha = values.has("alpha") ? values.real("alpha") : 1.0;
    const double beta = values.has("beta") ? values.real("beta") : 1.0;
    check(alpha >= 0 && beta >= 0 && std::isfinite(alpha) && std::isfinite(beta),
          "method.alpha = {} and method.beta = {}, expected weights of 0 or more", alpha, beta);
    check(alpha > 0 || beta > 0, "method.alpha and method.beta are both 0: there is nothing to learn");
    check(!gradual || (alpha == 1 && beta >= GradNormSettings{}.minimum),
          "method.policy = 'gradual' starts from alpha = {} and beta = {}, expected alpha = 1 and beta of at "
          "least {}",
          alpha, beta, GradNormSettings{}.minimum);
    // One task alone: its weight is a scale of the loss, which only the ratio of two tasks gives a meaning.
    check(alpha > 0 || beta == 1, "method.alpha = 0 with method.beta = {}: one task has the weight 1", beta);
    check(beta > 0 || alpha == 1, "method.beta = 0 with method.alpha = {}: one task has the weight 1", alpha);
    return std::make_unique<Remul>(settings.name, gradual, alpha, beta);
}

} // namespace

MethodEntry remul_entry();
MethodEntry remul_entry() {
    const Condition constant{"method.policy", {"constant"}};
    const Condition gradual{"method.policy", {"gradual"}};
    const Key beta{.name = "beta",
                   .kind = Kind::real,
                   .standard = 1.0,
                   .meaning = "weight of the loss on turned samples (gradual: in the first step)",
                   .low = 0,
                   .high = 1e6,
                   .when = {constant}};
    Key first = beta;
    first.low = 1e-3;
    first.when = {gradual};
    return {method_choice(
                "remul", "unconstrained network, equivariance as a second task",
                {{.name = "policy",
                  .kind = Kind::text,
                  .standard = std::string("constant"),
                  .meaning = "weights of the tasks: constant, or balanced by their gradients (GradNorm)",
                  .words = {"constant", "gradual"}},
                 {.name = "alpha",
                  .kind = Kind::real,
                  .standard = 1.0,
                  .meaning = "weight of the loss on the samples as they are",
                  .low = 0,
                  .high = 1e6,
                  .when = {constant}},
                 beta,
                 first}),
            make_remul};
}

} // namespace tether::methods
