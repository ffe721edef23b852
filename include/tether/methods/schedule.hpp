// The gate of `schedule` in an epoch (methods.md 2): up to 1 at half of the epochs, then down.
#pragma once

#include "tether/core/types.hpp"

namespace tether::methods {

// theta(e) = 2e/E for e <= E/2, else 1 - 2(e - E/2)/E; epochs counted from 0.
[[nodiscard]] double schedule_gate(Index epoch, Index epochs);

} // namespace tether::methods
