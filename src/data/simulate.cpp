#include "tether/data/simulate.hpp"

#include "src/data/simulation_blocks.hpp"
#include "tether/core/error.hpp"
#include "tether/core/philox.hpp"

#include <algorithm>

namespace tether::data {
namespace {

using namespace blocks;

Trajectories prepare(const SimulationPlan& plan, const char* system, Index bodies, Index frames) {
    check(plan.simulations > 0, "{} simulations; at least 1 was expected", plan.simulations);
    check(!plan.frames.empty() && std::ranges::is_sorted(plan.frames, std::ranges::less_equal{}) &&
              plan.frames.front() >= 0 && plan.frames.back() < frames,
          "frames to keep must ascend within 0..{}", frames - 1);
    Trajectories out;
    out.system = system;
    out.simulations = plan.simulations;
    out.bodies = bodies;
    out.frames = plan.frames;
    out.position.resize(at(plan.simulations) * plan.frames.size() * at(bodies) * 3);
    out.velocity.resize(out.position.size());
    out.seed = static_cast<std::int64_t>(plan.seed);
    out.split = standard_split(plan.simulations);
    out.licence = "Apache-2.0";
    return out;
}

} // namespace

void draw_charged(std::uint64_t seed, Index simulation, std::span<double> charge, std::span<double> position,
                  std::span<double> velocity) {
    constexpr double speed = 0.5;
    RandomStream random(seed, Purpose::simulation, 0, static_cast<std::uint64_t>(simulation));
    for (double& q : charge) {
        q = random.uniform() < 0.5 ? -1.0 : 1.0;
    }
    for (double& x : position) {
        x = random.normal();
    }
    for (std::size_t i = 0; i < velocity.size(); i += 3) {
        const double x = random.normal();
        const double y = random.normal();
        const double z = random.normal();
        const double scale = speed / std::sqrt(x * x + y * y + z * z);
        velocity[i] = scale * x;
        velocity[i + 1] = scale * y;
        velocity[i + 2] = scale * z;
    }
}

void draw_gravity(std::uint64_t seed, Index simulation, std::span<double> position,
                  std::span<double> velocity) {
    RandomStream random(seed, Purpose::simulation, 1, static_cast<std::uint64_t>(simulation));
    for (double& x : position) {
        x = random.normal();
    }
    for (double& v : velocity) {
        v = random.normal();
    }
    for (std::size_t a = 0; a < 3; ++a) { // the centre of mass rests
        double mean = 0;
        for (std::size_t i = a; i < velocity.size(); i += 3) {
            mean += velocity[i];
        }
        const std::size_t bodies = velocity.size() / 3;
        mean /= static_cast<double>(bodies);
        for (std::size_t i = a; i < velocity.size(); i += 3) {
            velocity[i] -= mean;
        }
    }
}

Trajectories simulate_charged(const SimulationPlan& plan) {
    Trajectories out = prepare(plan, "charged", charged_bodies, charged_frames);
    out.description =
        "charged particles: unit masses, k = 1, dt = 0.001, force clipped to 100 per component, no "
        "walls, no noise; frame f is the state after step 100 (f + 1)";
    out.source = "tether data nbody";
    out.charge.resize(at(out.simulations * out.bodies));
    for_blocks(plan, [&](Index number) {
        const Index first = number * width;
        Block block(charged_bodies);
        start(block, first, out.simulations, [&](Index simulation, auto& q, auto& x, auto& v) {
            draw_charged(plan.seed, simulation, q, x, v);
            std::ranges::copy(q, out.charge.begin() + simulation * charged_bodies);
        });
        std::size_t frame = 0;
        for (Index step = 1; frame < out.frames.size(); ++step) {
            KickDrift{}(block, ChargedForce{}, simulation_dt);
            if (step == steps_per_frame * (out.frames[frame] + 1)) {
                store(block, first, frame++, out);
            }
        }
    });
    return out;
}

Trajectories simulate_gravity(const SimulationPlan& plan, Index bodies) {
    check(bodies > 1, "{} bodies; at least 2 were expected", bodies);
    Trajectories out = prepare(plan, "gravity", bodies, gravity_frames);
    out.description =
        "gravity: unit masses, G = 1, softening 0.1, dt = 0.001, kick-drift-kick; frame f is the state "
        "after step 100 f";
    out.source = "tether data gravity";
    for_blocks(plan, [&](Index number) {
        const Index first = number * width;
        Block block(bodies);
        start(block, first, out.simulations,
              [&](Index simulation, auto&, auto& x, auto& v) { draw_gravity(plan.seed, simulation, x, v); });
        GravityForce{}(block);
        std::size_t frame = 0;
        for (Index step = 0; frame < out.frames.size(); ++step) {
            if (step == steps_per_frame * out.frames[frame]) {
                store(block, first, frame++, out);
            }
            KickDriftKick{}(block, GravityForce{}, simulation_dt);
        }
    });
    return out;
}

} // namespace tether::data
