// Places of intermediates in one arena by liveness.
#pragma once

#include "tether/program/program.hpp"

#include <cstddef>
#include <functional>
#include <vector>

namespace tether {

// Elements: places begin at whole cache lines for float.
inline constexpr Index arena_alignment = 16;
[[nodiscard]] constexpr Index arena_aligned(Index n) {
    return (n + arena_alignment - 1) / arena_alignment * arena_alignment;
}

// Gives a place to every intermediate accepted by `wanted` that the units (lists of nodes) write, alive
// from the first unit that writes it to the last one that reads it, outputs for ever. `size` per value;
// places of values not wanted are left as they are (-1: none yet). Returns the end. dies_after: per unit,
// the values not needed any more.
Index assign_places(const Program& program, const std::vector<std::vector<std::size_t>>& units,
                    const std::function<bool(std::size_t)>& wanted, const std::vector<Index>& size,
                    std::vector<Index>& place, std::vector<std::vector<int>>* dies_after = nullptr);

} // namespace tether
