// The order in which the host executes a program. Nodes that work row by row (Tiling::rows) on the
// same extent are gathered into groups that run tile after tile, a tile being a few rows: what one
// node of a group writes, the next reads from the first-level cache, and values that no other group
// needs never exist as a whole. Results do not depend on the grouping: a node sees the same numbers.
#pragma once

#include "tether/program/program.hpp"

#include <cstddef>
#include <vector>

namespace tether {

struct NodeGroup {
    std::vector<std::size_t> nodes; // in order of execution
    bool tiled = false;
    Extent extent;                 // tiled: the rows that are cut
    std::vector<int> local;        // tiled: values that live within a tile only
    std::vector<std::size_t> sums; // tiled: nodes that sum over the rows
};

// Covers every node once. Nodes keep to their part of the program (forward, backward, after the
// reduction) and to the order that their operands ask for. `tiles` false: one node per group.
[[nodiscard]] std::vector<NodeGroup> schedule(const Program& program, bool tiles);

} // namespace tether
