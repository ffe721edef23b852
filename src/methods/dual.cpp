// See dual.hpp. The element formulas of adam and sgd are those of the primal optimiser.
#include "tether/methods/dual.hpp"

#include "tether/core/error.hpp"
#include "tether/core/text.hpp"
#include "tether/kernels/adam.hpp"
#include "tether/kernels/sgd.hpp"

#include <algorithm>
#include <cmath>

namespace tether::methods {

std::size_t dual_state_size(DualKind kind, std::size_t sites) {
    switch (kind) {
    case DualKind::sgd: return 1;
    case DualKind::adam: return 1 + 2 * sites;
    case DualKind::nupi: return 1 + sites;
    }
    return 0;
}

std::vector<std::string> dual_names() { return {"sgd", "adam", "nupi"}; }

DualKind dual_kind(std::string_view name) {
    const std::vector<std::string> names = dual_names();
    const auto found = std::ranges::find(names, name);
    check(found != names.end(), "unknown dual optimizer '{}'{}", name, hint(name, names));
    return static_cast<DualKind>(found - names.begin());
}

std::string dual_name(DualKind kind) { return dual_names()[static_cast<std::size_t>(kind)]; }

void check_settings(const DualSettings& s) {
    check(s.beta1 >= 0 && s.beta1 < 1, "dual beta1 is {}, expected a value in [0, 1)", s.beta1);
    check(s.beta2 >= 0 && s.beta2 < 1, "dual beta2 is {}, expected a value in [0, 1)", s.beta2);
    check(s.eps >= 0 && std::isfinite(s.eps), "dual eps is {}, expected a value >= 0", s.eps);
    check(s.weight_decay >= 0 && std::isfinite(s.weight_decay),
          "dual weight decay is {}, expected a value >= 0", s.weight_decay);
    check(s.nu >= 0 && s.nu < 1, "dual nu is {}, expected a value in [0, 1)", s.nu);
    check(s.proportional >= 0 && std::isfinite(s.proportional),
          "dual proportional gain is {}, expected a value >= 0", s.proportional);
    check(s.integral >= 0 && std::isfinite(s.integral), "dual integral gain is {}, expected a value >= 0",
          s.integral);
    check(s.weight_decay == 0 || s.kind != DualKind::nupi,
          "dual weight decay is {} with optimizer nupi, expected 0", s.weight_decay);
}

void advance_dual(const DualSettings& settings, bool clamped, double learning_rate,
                  std::span<const double> violation, std::span<double> lambda, std::span<double> state) {
    const std::size_t sites = lambda.size();
    check(violation.size() == sites && state.size() == dual_state_size(settings.kind, sites),
          "dual update: {} violations and {} numbers of state for {} multipliers", violation.size(),
          state.size(), sites);
    double& updates = state[0];
    updates += 1;
    double* const memory = state.data() + 1;
    switch (settings.kind) {
    case DualKind::sgd: {
        const kernels::Sgd<double> sgd({0, settings.weight_decay}, learning_rate);
        for (std::size_t i = 0; i < sites; ++i) {
            sgd(lambda[i], -violation[i]);
        }
        break;
    }
    case DualKind::adam: {
        const kernels::Adam<double> adam(
            {settings.beta1, settings.beta2, settings.eps, settings.weight_decay}, learning_rate,
            static_cast<Index>(updates));
        for (std::size_t i = 0; i < sites; ++i) {
            adam(lambda[i], -violation[i], memory[i], memory[sites + i]);
        }
        break;
    }
    case DualKind::nupi:
        for (std::size_t i = 0; i < sites; ++i) {
            const double before = updates == 1 ? violation[i] : memory[i];
            // Written as before + (1 - nu)(e - before), so that an unchanged e leaves no rounding.
            const double smoothed = before + (1 - settings.nu) * (violation[i] - before);
            lambda[i] += learning_rate *
                         (settings.integral * violation[i] + settings.proportional * (smoothed - before));
            memory[i] = smoothed;
        }
        break;
    }
    if (clamped) {
        for (double& value : lambda) {
            if (value < 0) { // not std::max, which would turn NaN into 0
                value = 0;
            }
        }
    }
}

} // namespace tether::methods
