// Four gravitating bodies, a star with three planets, as the equivariance studies of GATr and remul use
// them (spec: data, "Four-body gravity"): from the start to the state after 100 steps. Systems lie almost
// upright in distribution and are turned far in a further part, so that a network that has not learned
// the symmetry is found out. G = 1, symplectic Euler, dt = 0.001, double precision.
#pragma once

#include "tether/data/graph_set.hpp"
#include "tether/data/trajectories.hpp"

#include <array>
#include <functional>
#include <span>

namespace tether::data {

inline constexpr Index planet_bodies = 4; // the star first
inline constexpr double planet_reach = 2; // a system in which a body moves farther is dropped

struct PlanetPlan {
    std::array<Index, split_count> count{100, 5000, 5000,
                                         5000}; // train, validation, test, out of distribution
    std::uint64_t seed = 43;
    int threads = 0;                                       // 0: all cores
    std::function<void(Index done, Index total)> progress; // a few times a second
};

struct PlanetSystems {
    Trajectories trajectories;                // frames 0 and 1; charge: the masses
    std::array<Index, split_count> dropped{}; // of each part, before its last system was found
};

// Starting state of candidate `number` of a part, a pure function of (seed, part, number):
// mass [4]; position and velocity [4, 3].
void draw_planets(std::uint64_t seed, Split part, Index number, std::span<double> mass,
                  std::span<double> position, std::span<double> velocity);

// The first so many candidates of each part that stay within reach.
[[nodiscard]] PlanetSystems simulate_planets(const PlanetPlan& plan);

} // namespace tether::data
