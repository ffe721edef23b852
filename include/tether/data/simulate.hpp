// Charged N-body and gravity data as published (particles.hpp has the dynamics), with random numbers
// keyed by (seed, simulation): a simulation is the same whatever the number of threads and whatever
// else is simulated. Double precision.
#pragma once

#include "tether/data/trajectories.hpp"

#include <functional>
#include <span>

namespace tether::data {

struct SimulationPlan {
    Index simulations = 14000;
    std::uint64_t seed = 43;
    std::vector<Index> frames;                             // which to keep, ascending
    int threads = 0;                                       // 0: all cores
    std::function<void(Index done, Index total)> progress; // from the calling thread, a few times a second
};

inline constexpr double simulation_dt = 0.001;
inline constexpr Index steps_per_frame = 100;
inline constexpr Index charged_bodies = 5;
inline constexpr Index charged_frames = 49; // frame f is the state after step 100 (f + 1)
inline constexpr Index gravity_bodies = 100;
inline constexpr Index gravity_frames = 50; // frame f is the state after step 100 f

// Starting state of one simulation; position and velocity [bodies, 3], charge [bodies].
void draw_charged(std::uint64_t seed, Index simulation, std::span<double> charge, std::span<double> position,
                  std::span<double> velocity);
void draw_gravity(std::uint64_t seed, Index simulation, std::span<double> position,
                  std::span<double> velocity);

[[nodiscard]] Trajectories simulate_charged(const SimulationPlan& plan);
[[nodiscard]] Trajectories simulate_gravity(const SimulationPlan& plan, Index bodies = gravity_bodies);

} // namespace tether::data
