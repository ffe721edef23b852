// Counts calls of operator new in this process (bench: allocations per step).
#pragma once

namespace tether::cli {

[[nodiscard]] long allocation_count() noexcept;

} // namespace tether::cli
