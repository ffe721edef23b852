// Trades arithmetic for memory traffic: outputs of cheap row-wise operations of the forward pass that
// the reverse pass reads are computed again there, from values that are kept anyway. In the tiles of
// the reverse pass they then live in the first-level cache. The numbers are the same.
#pragma once

#include "tether/program/program.hpp"

namespace tether {

// Call once, on a differentiated and finished program.
void rematerialise(Program& program);

} // namespace tether
