// Factors that give activations second moment 1 under a standard normal. The published networks use
// Monte-Carlo estimates (1,000,000 draws) instead of the integrals; parity needs their digits.
#pragma once

namespace tether::symmetry {

inline constexpr double silu_constant = 1.6791767923989418;    // the integral gives 1.676532470331091
inline constexpr double sigmoid_constant = 1.8467055342154763; // 1.8462285453386054
inline constexpr double tanh_constant = 1.5937334472592695;    // 1.5925374197228315

} // namespace tether::symmetry
