// The balance of two losses by the size of their gradients (GradNorm: Chen, Badrinarayanan, Lee,
// Rabinovich, ICML 2018) as `remul` uses it (spec: methods, section 3), as a pure function.
#pragma once

#include <array>

namespace tether::methods {

struct GradNormSettings {
    double rate = 0.025;
    double exponent = 1.5;
    double minimum = 1e-3; // of a weight, before they are scaled to a sum of 2
};

using TaskPair = std::array<double, 2>;

struct GradNormStep {
    TaskPair weighted; // g_k = w_k n_k
    TaskPair ratio;    // r_k = (L_k / L_k(0)) / mean of both
    TaskPair target;   // T_k = mean g · r_k^exponent
    TaskPair weight;   // of the step to come
};

// weight: of this step; loss, norm: of this step, without weights; first: losses of the first step.
[[nodiscard]] GradNormStep gradnorm(const GradNormSettings& settings, const TaskPair& weight,
                                    const TaskPair& loss, const TaskPair& first, const TaskPair& norm);

} // namespace tether::methods
