// Our dynamics against trajectories of the published simulators, from every stored frame to the next
// and, for charged systems, over the whole trajectory.
#include "tether/data/particles.hpp"

#include "tests/data/support.hpp"
#include "tests/support/reference.hpp"
#include "tether/core/hdf5.hpp"
#include "tether/data/simulate.hpp"

#include <numeric>

namespace tether::data {
namespace {

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

struct Stored {
    Index simulations = 0, frames = 0, bodies = 0;
    std::vector<double> loc, vel, charge;
    std::vector<Index> frame;

    explicit Stored(const std::string& path) {
        const hdf5::Reader file(path);
        const std::vector<Index> shape = file.shape("loc");
        simulations = shape.at(0);
        frames = shape.at(1);
        bodies = shape.at(2);
        loc = file.doubles("loc");
        vel = file.doubles("vel");
        charge =
            file.has("charge") ? file.doubles("charge") : std::vector<double>(at(simulations * bodies), 1.0);
        if (file.has("frames")) {
            frame = file.integers("frames");
        } else {
            frame.resize(at(frames));
            std::iota(frame.begin(), frame.end(), Index{0});
        }
    }
    [[nodiscard]] const double* row(const std::vector<double>& values, Index simulation, Index f,
                                    Index body) const {
        return values.data() + ((simulation * frames + f) * bodies + body) * 3;
    }
};

template <int W>
ParticleBlock<W> start(const Stored& stored, Index first, Index frame) {
    ParticleBlock<W> block(stored.bodies);
    for (int k = 0; k < W; ++k) {
        const Index i = std::min(first + k, stored.simulations - 1);
        for (Index b = 0; b < stored.bodies; ++b) {
            const double* x = stored.row(stored.loc, i, frame, b);
            const double* v = stored.row(stored.vel, i, frame, b);
            Vector3<W>& position = block.position[at(b)];
            Vector3<W>& velocity = block.velocity[at(b)];
            position.x.lane[k] = x[0];
            position.y.lane[k] = x[1];
            position.z.lane[k] = x[2];
            velocity.x.lane[k] = v[0];
            velocity.y.lane[k] = v[1];
            velocity.z.lane[k] = v[2];
            block.charge[at(b)].lane[k] = stored.charge[at(i * stored.bodies + b)];
        }
    }
    return block;
}

// Largest difference of position and velocity in one simulation.
template <int W>
double difference(const ParticleBlock<W>& block, const Stored& stored, Index simulation, int lane,
                  Index frame) {
    double most = 0;
    for (Index b = 0; b < stored.bodies; ++b) {
        const double* x = stored.row(stored.loc, simulation, frame, b);
        const double* v = stored.row(stored.vel, simulation, frame, b);
        const Vector3<W>& p = block.position[at(b)];
        const Vector3<W>& u = block.velocity[at(b)];
        const double found[6] = {p.x.lane[lane], p.y.lane[lane], p.z.lane[lane],
                                 u.x.lane[lane], u.y.lane[lane], u.z.lane[lane]};
        const double expected[6] = {x[0], x[1], x[2], v[0], v[1], v[2]};
        for (int c = 0; c < 6; ++c) {
            const double d = std::abs(found[c] - expected[c]);
            most = d <= most ? most : d; // keeps NaN
        }
    }
    return most;
}

double quantile(std::vector<double> values, double part) {
    std::ranges::sort(values);
    return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
}

std::vector<std::string> files(const std::string& system) {
    std::vector<std::string> found;
    for (const std::string& path : test::reference_files("nbody")) {
        if (path.substr(path.find_last_of('/')).starts_with("/" + system)) {
            found.push_back(path);
        }
    }
    return found;
}

TEST(Particles, charged_trajectories_parity) {
    const std::vector<std::string> found = files("charged");
    if (found.empty()) {
        GTEST_SKIP() << "no nbody/charged*.h5 in the reference folders";
    }
    for (const std::string& path : found) {
        SCOPED_TRACE(path);
        const Stored stored(path);
        constexpr int width = 4;
        std::vector<double> whole;  // from the first stored frame to the last, without looking again
        std::vector<double> single; // from each frame to the next
        for (Index first = 0; first < stored.simulations; first += width) {
            auto block = start<width>(stored, first, 0);
            std::array<double, width> worst{};
            for (Index f = 1; f < stored.frames; ++f) {
                auto again = start<width>(stored, first, f - 1);
                for (Index s = 0; s < steps_per_frame * (stored.frame[at(f)] - stored.frame[at(f - 1)]);
                     ++s) {
                    KickDrift{}(block, ChargedForce{}, simulation_dt);
                    KickDrift{}(again, ChargedForce{}, simulation_dt);
                }
                for (int k = 0; k < width && first + k < stored.simulations; ++k) {
                    worst[static_cast<std::size_t>(k)] = std::max(worst[static_cast<std::size_t>(k)],
                                                                  difference(block, stored, first + k, k, f));
                    single.push_back(difference(again, stored, first + k, k, f));
                }
            }
            for (int k = 0; k < width && first + k < stored.simulations; ++k) {
                whole.push_back(worst[static_cast<std::size_t>(k)]);
            }
        }
        // Close encounters that the step does not resolve amplify rounding: a few simulations differ.
        EXPECT_LT(quantile(whole, 0.5), 1e-11);
        EXPECT_LT(quantile(whole, 0.8), 1e-9);
        EXPECT_LT(quantile(single, 0.99), 1e-12);
    }
}

TEST(Particles, gravity_trajectories_parity) {
    const std::vector<std::string> found = files("gravity");
    if (found.empty()) {
        GTEST_SKIP() << "no nbody/gravity*.h5 in the reference folders";
    }
    for (const std::string& path : found) {
        SCOPED_TRACE(path);
        const Stored stored(path);
        constexpr int width = 4;
        int compared = 0;
        for (Index f = 1; f < stored.frames; ++f) {
            const Index apart = stored.frame[at(f)] - stored.frame[at(f - 1)];
            if (apart > 1) {
                continue; // a hundred bodies are chaotic: rounding grows tenfold in 100 steps
            }
            for (Index first = 0; first < stored.simulations; first += width) {
                auto block = start<width>(stored, first, f - 1);
                GravityForce{}(block);
                for (Index s = 0; s < steps_per_frame; ++s) {
                    KickDriftKick{}(block, GravityForce{}, simulation_dt);
                }
                for (int k = 0; k < width && first + k < stored.simulations; ++k) {
                    EXPECT_LT(difference(block, stored, first + k, k, f), 1e-10) << "frame " << f;
                    ++compared;
                }
            }
        }
        EXPECT_GT(compared, 0);
    }
}

// What a simulation gives does not depend on how many run beside it.
TEST(Particles, BlockWidthDoesNotMatter) {
    Stored stored(TETHER_SOURCE_DIR "/tests/reference/nbody/charged5_first8.h5");
    auto wide = start<8>(stored, 0, 0);
    for (int s = 0; s < 500; ++s) {
        KickDrift{}(wide, ChargedForce{}, simulation_dt);
    }
    for (Index i = 0; i < 8; ++i) {
        auto narrow = start<1>(stored, i, 0);
        for (int s = 0; s < 500; ++s) {
            KickDrift{}(narrow, ChargedForce{}, simulation_dt);
        }
        for (std::size_t b = 0; b < narrow.bodies(); ++b) {
            EXPECT_EQ(narrow.position[b].x.lane[0], wide.position[b].x.lane[i]);
            EXPECT_EQ(narrow.velocity[b].z.lane[0], wide.velocity[b].z.lane[i]);
        }
    }
}

// Two bodies by hand: distance 2, charges +1 and -1 attract with 1/4; the clip acts per component.
TEST(Particles, ForceLaw) {
    ParticleBlock<1> block(2);
    block.position[0].x.lane[0] = 1;
    block.position[1].x.lane[0] = 3;
    block.charge[0].lane[0] = 1;
    block.charge[1].lane[0] = -1;
    ChargedForce{}(block);
    EXPECT_DOUBLE_EQ(block.force[0].x.lane[0], 0.25);
    EXPECT_DOUBLE_EQ(block.force[1].x.lane[0], -0.25);
    EXPECT_EQ(block.force[0].y.lane[0], 0);
    block.position[1].x.lane[0] = 1.01;
    block.position[1].y.lane[0] = 1e-4;
    ChargedForce{}(block);
    EXPECT_EQ(block.force[0].x.lane[0], 100);
    EXPECT_NEAR(block.force[0].y.lane[0], 100, 1); // 1e-4 / 0.01^3, not clipped before the sum
    GravityForce{1, 0.5}(block);
    const double s2 = 1e-4 + 1e-8 + 0.25;
    EXPECT_NEAR(block.force[0].x.lane[0], 0.01 / std::pow(s2, 1.5), 1e-15);
    EXPECT_DOUBLE_EQ(block.force[1].x.lane[0], -block.force[0].x.lane[0]);
}

} // namespace
} // namespace tether::data
