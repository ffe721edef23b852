// The optimiser of the multipliers (methods.md 1.3): gradient ascent along the violation e_t by `sgd`,
// `adam` (torch.optim.Adam on the gradient -e_t) or `nupi`, PI control that damps the oscillation:
//     xi_t = nu xi_{t-1} + (1 - nu) e_t,  xi_{-1} = e_0,
//     lambda_{t+1} = lambda_t + eta (K_I e_t + K_P (xi_t - xi_{t-1})).
// Clamping at 0 follows the update and does not touch the moments. A value that is not a number
// stays one. The state is a list of doubles that the caller keeps and stores.
#pragma once

#include "tether/core/types.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tether::methods {

enum class DualKind : std::uint8_t { sgd, adam, nupi };

// Throws Error(usage) naming the nearest known one.
[[nodiscard]] DualKind dual_kind(std::string_view name);
[[nodiscard]] std::string dual_name(DualKind kind);
[[nodiscard]] std::vector<std::string> dual_names();

struct DualSettings {
    DualKind kind = DualKind::adam;
    double beta1 = 0.9;        // adam
    double beta2 = 0.999;      // adam
    double eps = 1e-8;         // adam
    double weight_decay = 0;   // added to the gradient: adam, sgd
    double nu = 0;             // nupi: memory of the smoothed violation
    double proportional = 300; // nupi: K_P; a damping that suits all published rates
    double integral = 1;       // nupi: K_I
    // Of the constraint (constraint.hpp), here because they are keys of [dual]:
    bool mean = false;               // scale = "mean"
    std::optional<bool> is_signed{}; // multipliers of either sign; unset: as the constraint needs
};

// Throws Error(usage).
void check_settings(const DualSettings& settings);

// Length of the state for so many sites, zeros at the start.
// adam: [updates, m..., v...]; nupi: [updates, xi...]; sgd: [updates].
[[nodiscard]] std::size_t dual_state_size(DualKind kind, std::size_t sites);

// lambda <- lambda_{t+1} from the violation measured at step t. Allocates nothing.
void advance_dual(const DualSettings& settings, bool clamped, double learning_rate,
                  std::span<const double> violation, std::span<double> lambda, std::span<double> state);

} // namespace tether::methods
