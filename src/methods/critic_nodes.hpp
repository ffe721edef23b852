// The nodes that `recm` records at a site (recm.cpp): the gate, the gradient of the critic, its update.
#pragma once

#include "tether/methods/modulation.hpp"
#include "tether/program/builder.hpp"
#include "tether/symmetry/representation.hpp"

#include <vector>

namespace tether::methods {

// What z and its turned copy are made of, at one site.
// Inputs of both nodes begin with: parts of x, target, row weights, turns, v.
struct SiteRows {
    std::vector<Index> widths; // of the parts of x
    symmetry::Representation x, y;
    Extent extent, target;
    std::vector<int> degrees; // of the turns
    CriticShape shape;

    [[nodiscard]] int parts() const { return static_cast<int>(widths.size()); }
    [[nodiscard]] int target_input() const { return parts(); }
    [[nodiscard]] int weight_input() const { return parts() + 1; }
    [[nodiscard]] int turn_input(std::size_t k) const { return parts() + 2 + static_cast<int>(k); }
    [[nodiscard]] int critic_input() const { return turn_input(degrees.size()); }
};

// The buffers of a site that the reverse rule needs.
struct CriticBuffers {
    Value a, critic, first, second, count;
};

// Appends the gate and gives it. Inputs as SiteRows, then h [8], running squares of x and y and whether there
// are any [3], a; `next`: buffers it renews: h, running squares, gamma. `rate`: of the critic's Adam.
Value append_critic_gate(Builder& b, const SiteRows& rows, const CriticBuffers& buffers, double rate,
                         std::vector<Value> in, const std::vector<Value>& next);

} // namespace tether::methods
