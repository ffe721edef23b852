// Our generator agrees in law with the published data, and depends on (seed, simulation) only.
#include "tether/data/simulate.hpp"

#include "tests/data/support.hpp"

#include <atomic>
#include <cmath>

namespace tether::data {
namespace {

SimulationPlan plan(Index simulations, std::vector<Index> frames, int threads = 0) {
    SimulationPlan p;
    p.simulations = simulations;
    p.frames = std::move(frames);
    p.threads = threads;
    return p;
}

struct Mean {
    double value = 0, error = 0;
};

// Mean over simulations of the MSE per coordinate of x + factor v against the later frame.
Mean prediction_error(const Trajectories& t, double factor) {
    const auto values = static_cast<std::size_t>(t.bodies) * 3;
    double sum = 0;
    double squares = 0;
    for (Index i = 0; i < t.simulations; ++i) {
        const std::size_t now = static_cast<std::size_t>(i) * 2 * values;
        double mse = 0;
        for (std::size_t c = now; c < now + values; ++c) {
            mse += std::pow(t.position[c] + factor * t.velocity[c] - t.position[c + values], 2);
        }
        mse /= static_cast<double>(values);
        sum += mse;
        squares += mse * mse;
    }
    const auto n = static_cast<double>(t.simulations);
    const double mean = sum / n;
    return {mean, std::sqrt((squares / n - mean * mean) / n)};
}

// The three figures of the published test part, within 4.5 standard errors of ours.
TEST(Simulate, ChargedAgreesInLaw) {
    const Trajectories t = simulate_charged(plan(3000, {30, 40}));
    for (const auto& [factor, published] : {std::pair{0.0, 0.2716}, {1.0, 0.1099}, {0.731, 0.0845}}) {
        const Mean found = prediction_error(t, factor);
        EXPECT_NEAR(found.value, published, 4.5 * found.error * std::sqrt(1 + 3000.0 / 2000.0)) << factor;
        EXPECT_LT(found.error, 0.1 * published);
    }
    double charge = 0;
    for (const double q : t.charge) {
        EXPECT_EQ(std::abs(q), 1);
        charge += q;
    }
    EXPECT_LT(std::abs(charge), 4.5 * std::sqrt(15000.0));
}

TEST(Simulate, StartsAsPublished) {
    double mean = 0;
    double square = 0;
    std::vector<double> q(5), x(15), v(15);
    for (Index i = 0; i < 2000; ++i) {
        draw_charged(9, i, q, x, v);
        for (std::size_t b = 0; b < 15; b += 3) {
            EXPECT_NEAR(std::hypot(v[b], v[b + 1], v[b + 2]), 0.5, 1e-14);
        }
        for (const double c : x) {
            mean += c / 30000;
            square += c * c / 30000;
        }
    }
    EXPECT_NEAR(mean, 0, 4.5 / std::sqrt(30000.0));
    EXPECT_NEAR(square, 1, 4.5 * std::sqrt(2 / 30000.0));
    std::vector<double> gx(300), gv(300);
    draw_gravity(9, 0, gx, gv);
    double momentum = 0;
    for (std::size_t i = 0; i < 300; i += 3) {
        momentum += gv[i];
    }
    EXPECT_NEAR(momentum, 0, 1e-12);
}

TEST(Simulate, DependsOnSeedAndNumberOnly) {
    const Trajectories one = simulate_charged(plan(21, {0, 3, 10}, 1));
    const Trajectories many = simulate_charged(plan(21, {0, 3, 10}, 5));
    EXPECT_EQ(one.position, many.position);
    EXPECT_EQ(one.velocity, many.velocity);
    EXPECT_EQ(one.charge, many.charge);
    const Trajectories fewer = simulate_charged(plan(5, {3}));
    const std::size_t frame = 15;
    for (std::size_t i = 0; i < 5; ++i) {
        for (std::size_t c = 0; c < frame; ++c) {
            EXPECT_EQ(fewer.position[i * frame + c], one.position[(i * 3 + 1) * frame + c]);
        }
    }
    SimulationPlan other = plan(5, {3});
    other.seed = 44;
    EXPECT_NE(simulate_charged(other).position, fewer.position);
    EXPECT_EQ(simulate_gravity(plan(9, {0, 1}, 1), 10).position,
              simulate_gravity(plan(9, {0, 1}, 2), 10).position);
}

// Frame numbers: charged frame f is step 100 (f + 1), gravity frame f is step 100 f.
TEST(Simulate, FramesAndProgress) {
    SimulationPlan p = plan(8, {0});
    Index last = -1;
    p.progress = [&](Index done, Index total) {
        EXPECT_EQ(total, 8);
        EXPECT_GE(done, last);
        last = done;
    };
    const Trajectories charged = simulate_charged(p);
    EXPECT_EQ(last, 8);
    std::vector<double> q(5), x(15), v(15);
    draw_charged(p.seed, 0, q, x, v);
    double moved = 0;
    for (std::size_t c = 0; c < 15; ++c) {
        moved = std::max(moved, std::abs(charged.position[c] - x[c]));
    }
    EXPECT_GT(moved, 0.02);
    EXPECT_LT(moved, 2);
    const Trajectories gravity = simulate_gravity(p, 20);
    std::vector<double> gx(60), gv(60);
    draw_gravity(p.seed, 0, gx, gv);
    EXPECT_TRUE(std::equal(gx.begin(), gx.end(), gravity.position.begin()));
    EXPECT_TRUE(contains(error_of(
                             [&] {
                                 (void)simulate_charged(plan(8, {30, 49}));
                             },
                             ExitCode::usage),
                         "0..48"));
    EXPECT_TRUE(contains(error_of(
                             [&] {
                                 (void)simulate_charged(plan(8, {3, 3}));
                             },
                             ExitCode::usage),
                         "ascend"));
    EXPECT_TRUE(
        contains(error_of([&] { (void)simulate_charged(plan(0, {3})); }, ExitCode::usage), "0 simulations"));
}

// Softened gravity keeps its energy, and the centre of mass rests.
TEST(Simulate, GravityConservesEnergy) {
    const Trajectories t = simulate_gravity(plan(2, {0, 10}), 30);
    for (std::size_t i = 0; i < 2; ++i) {
        double energy[2] = {0, 0};
        for (std::size_t f = 0; f < 2; ++f) {
            const double* x = t.position.data() + (i * 2 + f) * 90;
            const double* v = t.velocity.data() + (i * 2 + f) * 90;
            double momentum = 0;
            for (std::size_t a = 0; a < 90; ++a) {
                energy[f] += 0.5 * v[a] * v[a];
                momentum += a % 3 == 0 ? v[a] : 0;
            }
            EXPECT_NEAR(momentum, 0, 1e-11);
            for (std::size_t a = 0; a < 90; a += 3) {
                for (std::size_t b = a + 3; b < 90; b += 3) {
                    energy[f] -= 1 / std::sqrt(std::pow(x[a] - x[b], 2) + std::pow(x[a + 1] - x[b + 1], 2) +
                                               std::pow(x[a + 2] - x[b + 2], 2) + 0.01);
                }
            }
        }
        EXPECT_NEAR(energy[1], energy[0], 1e-4 * std::abs(energy[0]));
    }
}

} // namespace
} // namespace tether::data
