#include "tether/data/planets.hpp"

#include "src/data/simulation_blocks.hpp"
#include "tether/core/error.hpp"
#include "tether/core/philox.hpp"
#include "tether/symmetry/rotation.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tether::data {
namespace {

using blocks::at;
using blocks::Block;

constexpr std::uint64_t first_stream = 2; // steps 0 and 1 of the purpose are the other simulators'
constexpr double star_mass[2] = {1, 10};
constexpr double planet_mass[2] = {0.01, 0.1};
constexpr double orbit[2] = {0.1, 1.0}; // radii
constexpr double velocity_noise = 0.01;
constexpr double upright = 10; // degrees, the largest turn in distribution
constexpr double turned = 90;  // the smallest out of it

double log_uniform(RandomStream& random, const double (&range)[2]) {
    return range[0] * std::pow(range[1] / range[0], random.uniform());
}

void turn_rows(const symmetry::Matrix& m, std::span<double> rows) {
    for (std::size_t r = 0; r < rows.size(); r += 3) {
        double y[3];
        for (Index i = 0; i < 3; ++i) {
            y[i] = m(i, 0) * rows[r] + m(i, 1) * rows[r + 1] + m(i, 2) * rows[r + 2];
        }
        std::copy_n(y, 3, rows.begin() + static_cast<Index>(r));
    }
}

// Candidates [first, first + count) of a part; all of them, in order.
Trajectories candidates(const PlanetPlan& plan, Split part, Index first, Index count) {
    Trajectories out;
    out.simulations = count;
    out.bodies = planet_bodies;
    out.frames = {0, 1};
    out.position.resize(at(count) * 2 * at(planet_bodies) * 3);
    out.velocity.resize(out.position.size());
    out.charge.resize(at(count * planet_bodies));
    SimulationPlan simulation;
    simulation.simulations = count;
    simulation.threads = plan.threads;
    blocks::for_blocks(simulation, [&](Index number) {
        const Index lead = number * blocks::width;
        Block block(planet_bodies);
        blocks::start(block, lead, count, [&](Index candidate, auto& m, auto& x, auto& v) {
            draw_planets(plan.seed, part, first + candidate, m, x, v);
            std::ranges::copy(m, out.charge.begin() + candidate * planet_bodies);
        });
        blocks::store(block, lead, 0, out);
        for (Index step = 0; step < steps_per_frame; ++step) {
            KickDrift{}(block, MassiveGravity{}, simulation_dt);
        }
        blocks::store(block, lead, 1, out);
    });
    return out;
}

// Whether no body of a candidate has moved too far (or to where there are no numbers).
bool stays(const Trajectories& t, Index candidate) {
    const std::size_t values = at(planet_bodies) * 3;
    const double* from = t.position.data() + at(candidate) * 2 * values;
    for (std::size_t c = 0; c < values; c += 3) {
        const double moved = std::hypot(from[values + c] - from[c], from[values + c + 1] - from[c + 1],
                                        from[values + c + 2] - from[c + 2]);
        if (!(moved <= planet_reach)) {
            return false;
        }
    }
    return true;
}

void append(const Trajectories& from, Index candidate, Split part, Trajectories& to) {
    const auto copy = [&](const std::vector<double>& values, Index width, std::vector<double>& out) {
        const auto first = values.begin() + candidate * width;
        out.insert(out.end(), first, first + width);
    };
    copy(from.position, 2 * planet_bodies * 3, to.position);
    copy(from.velocity, 2 * planet_bodies * 3, to.velocity);
    copy(from.charge, planet_bodies, to.charge);
    to.split.push_back(static_cast<std::int32_t>(part));
    ++to.simulations;
}

} // namespace

void draw_planets(std::uint64_t seed, Split part, Index number, std::span<double> mass,
                  std::span<double> position, std::span<double> velocity) {
    RandomStream random(seed, Purpose::simulation, first_stream + static_cast<std::uint64_t>(part),
                        static_cast<std::uint64_t>(number));
    std::ranges::fill(position, 0.0);
    std::ranges::fill(velocity, 0.0);
    mass[0] = log_uniform(random, star_mass);
    for (std::size_t i = 1; i < mass.size(); ++i) {
        mass[i] = log_uniform(random, planet_mass);
        // Uniform in the area of the annulus; a circular orbit one way or the other, and some noise.
        const double radius =
            std::sqrt(orbit[0] * orbit[0] + (orbit[1] * orbit[1] - orbit[0] * orbit[0]) * random.uniform());
        const double angle = 2 * std::numbers::pi * random.uniform();
        const double speed = (random.uniform() < 0.5 ? -1 : 1) * std::sqrt(mass[0] / radius);
        position[3 * i] = radius * std::cos(angle);
        position[3 * i + 1] = radius * std::sin(angle);
        velocity[3 * i] = -speed * std::sin(angle);
        velocity[3 * i + 1] = speed * std::cos(angle);
        for (std::size_t a = 0; a < 3; ++a) {
            velocity[3 * i + a] += velocity_noise * random.normal();
        }
    }
    // The whole system turned about an axis of any direction.
    symmetry::Vector3 axis{};
    for (double& a : axis) {
        a = random.normal();
    }
    const double u = 2 * random.uniform() - 1;
    const double degrees = part == Split::out_of_distribution
                               ? std::copysign(turned + (180 - turned) * std::abs(u), u)
                               : upright * u;
    const symmetry::Matrix m =
        symmetry::rotation_matrix(symmetry::about(axis, degrees * std::numbers::pi / 180));
    turn_rows(m, position);
    turn_rows(m, velocity);
}

PlanetSystems simulate_planets(const PlanetPlan& plan) {
    PlanetSystems out;
    Trajectories& all = out.trajectories;
    all.system = "gravity4";
    all.bodies = planet_bodies;
    all.frames = {0, 1};
    all.seed = static_cast<std::int64_t>(plan.seed);
    all.source = "tether data gravity4";
    all.licence = "Apache-2.0";
    all.description =
        "a star and three planets: G = 1, dt = 0.001, symplectic Euler; frame 1 is the state 100 steps after "
        "frame 0; systems in which a body moves more than 2 are dropped; turned by at most 10 degrees about "
        "a "
        "random axis, out of distribution by 90 to 180";
    Index total = 0;
    for (const Index count : plan.count) {
        check(count >= 0, "{} systems; 0 or more were expected", count);
        total += count;
    }
    check(plan.count[0] > 0, "no systems for training; at least 1 was expected");
    for (int p = 0; p < split_count; ++p) {
        const auto part = static_cast<Split>(p);
        Index missing = plan.count[static_cast<std::size_t>(p)];
        Index& dropped = out.dropped[static_cast<std::size_t>(p)];
        for (Index next = 0; missing > 0;) {
            // Few are dropped: a little more than is missing, in portions that show progress.
            const Index portion = std::min<Index>(missing + missing / 16 + 1, 2048);
            const Trajectories drawn = candidates(plan, part, next, portion);
            for (Index c = 0; c < portion && missing > 0; ++c) {
                if (stays(drawn, c)) {
                    append(drawn, c, part, all);
                    --missing;
                } else {
                    ++dropped;
                }
            }
            next += portion;
            check(next < 1000 + 100 * plan.count[static_cast<std::size_t>(p)],
                  "of {} candidates {} were dropped: the dynamics cannot be right", next, dropped);
            if (plan.progress) {
                plan.progress(all.simulations, total);
            }
        }
    }
    return out;
}

} // namespace tether::data
