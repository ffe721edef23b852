// Basic names used everywhere. Depends on nothing.
#pragma once

#include <cstdint>

namespace tether {

using Index = std::int64_t; // counts, offsets, row numbers

} // namespace tether
