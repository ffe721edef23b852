// Four-body gravity: the law of the starting states, the dynamics against plain loops, which systems
// are dropped, and the data set a training reads.
#include "tether/data/planets.hpp"

#include "tests/data/support.hpp"
#include "tests/support/reference.hpp"
#include "tether/core/hdf5.hpp"
#include "tether/data/data_sets.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

namespace tether::data {
namespace {

struct System {
    std::vector<double> m = std::vector<double>(4), x = std::vector<double>(12), v = std::vector<double>(12);
};

System drawn(std::uint64_t seed, Split part, Index number) {
    System s;
    draw_planets(seed, part, number, s.m, s.x, s.v);
    return s;
}

// 100 steps v += dt a, x += dt v, one number at a time.
System later(System s) {
    for (int step = 0; step < 100; ++step) {
        std::array<double, 12> a{};
        for (std::size_t i = 0; i < 4; ++i) {
            for (std::size_t j = 0; j < 4; ++j) {
                const double r = std::hypot(s.x[3 * j] - s.x[3 * i], s.x[3 * j + 1] - s.x[3 * i + 1],
                                            s.x[3 * j + 2] - s.x[3 * i + 2]);
                for (std::size_t c = 0; i != j && c < 3; ++c) {
                    a[3 * i + c] += s.m[j] * (s.x[3 * j + c] - s.x[3 * i + c]) / (r * r * r);
                }
            }
        }
        for (std::size_t c = 0; c < 12; ++c) {
            s.v[c] += 0.001 * a[c];
            s.x[c] += 0.001 * s.v[c];
        }
    }
    return s;
}

double farthest(const System& from, const System& to) {
    double most = 0;
    for (std::size_t c = 0; c < 12; c += 3) {
        most = std::max(
            most, std::hypot(to.x[c] - from.x[c], to.x[c + 1] - from.x[c + 1], to.x[c + 2] - from.x[c + 2]));
    }
    return most;
}

// Angle between the plane of the orbits and the horizontal one, in degrees, up to 90.
double tilt(const System& s) {
    const double* a = s.x.data() + 3;
    const double* b = s.x.data() + 6;
    const std::array<double, 3> n{a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2],
                                  a[0] * b[1] - a[1] * b[0]};
    return std::acos(std::min(1.0, std::abs(n[2]) / std::hypot(n[0], n[1], n[2]))) * 180 / std::numbers::pi;
}

TEST(Planets, start_as_the_law_says) {
    constexpr Index systems = 2000;
    double square = 0, star = 0, planet = 0, forward = 0;
    for (Index i = 0; i < systems; ++i) {
        const System s = drawn(5, Split::train, i);
        EXPECT_GE(s.m[0], 1);
        EXPECT_LE(s.m[0], 10);
        star += std::log10(s.m[0]);
        for (std::size_t c = 0; c < 3; ++c) {
            EXPECT_EQ(s.x[c], 0);
            EXPECT_EQ(s.v[c], 0);
        }
        for (std::size_t p = 1; p < 4; ++p) {
            EXPECT_GE(s.m[p], 0.01);
            EXPECT_LE(s.m[p], 0.1);
            planet += std::log10(s.m[p]) + 2;
            const double* x = s.x.data() + 3 * p;
            const double* v = s.v.data() + 3 * p;
            const double r = std::hypot(x[0], x[1], x[2]);
            EXPECT_GE(r, 0.1 - 1e-12);
            EXPECT_LE(r, 1 + 1e-12);
            square += r * r;
            // A circular orbit: speed sqrt(M / r) across the radius, with noise of 0.01 on each component.
            EXPECT_NEAR(std::hypot(v[0], v[1], v[2]), std::sqrt(s.m[0] / r), 0.06);
            EXPECT_NEAR((v[0] * x[0] + v[1] * x[1] + v[2] * x[2]) / r, 0, 0.06);
            forward += x[0] * v[1] - x[1] * v[0] > 0 ? 1 : 0;
        }
        EXPECT_LE(tilt(s), 10 + 1e-9);
    }
    // Uniform in the area of the annulus; masses uniform in their logarithm; both ways round.
    const double n = 3 * systems;
    EXPECT_NEAR(square / n, 0.505, 4.5 * 0.286 / std::sqrt(n));
    EXPECT_NEAR(star / systems, 0.5, 4.5 * 0.289 / std::sqrt(systems));
    EXPECT_NEAR(planet / n, 0.5, 4.5 * 0.289 / std::sqrt(n));
    EXPECT_NEAR(forward / n, 0.5, 4.5 * 0.5 / std::sqrt(n));
}

TEST(Planets, lie_elsewhere_out_of_distribution) {
    int steep = 0;
    for (Index i = 0; i < 500; ++i) {
        const System s = drawn(5, Split::out_of_distribution, i);
        steep += tilt(s) > 10 ? 1 : 0;
        EXPECT_NE(s.m, drawn(5, Split::test, i).m) << "parts have numbers of their own";
    }
    EXPECT_GT(steep, 400); // a half turn about the axis of the orbits keeps their plane
}

TEST(Planets, move_as_plain_loops_do_and_are_dropped_where_they_leave) {
    PlanetPlan plan;
    plan.count = {40, 3, 2, 250};
    plan.threads = 2;
    PlanetSystems made;
    const auto outside = static_cast<std::size_t>(Split::out_of_distribution);
    for (plan.seed = 1; plan.seed < 40 && made.dropped[outside] == 0; ++plan.seed) {
        made = simulate_planets(plan);
    }
    --plan.seed;
    ASSERT_GT(made.dropped[outside], 0) << "no seed drops anything: the rule is not tested";
    const Trajectories& t = made.trajectories;
    ASSERT_EQ(t.simulations, 295);
    Index row = 0;
    for (int p = 0; p < split_count; ++p) {
        const auto part = static_cast<Split>(p);
        Index dropped = 0;
        for (Index number = 0, kept = 0; kept < plan.count[static_cast<std::size_t>(p)]; ++number) {
            const System from = drawn(plan.seed, part, number);
            const System to = later(from);
            if (farthest(from, to) > planet_reach) {
                ++dropped;
                continue;
            }
            ASSERT_EQ(t.split[static_cast<std::size_t>(row)], p);
            for (std::size_t c = 0; c < 12; ++c) {
                const std::size_t at = static_cast<std::size_t>(row) * 24 + c;
                ASSERT_EQ(t.position[at], from.x[c]) << row;
                ASSERT_EQ(t.velocity[at], from.v[c]) << row;
                // Close encounters magnify rounding.
                ASSERT_NEAR(t.position[at + 12], to.x[c], 1e-8) << row;
                ASSERT_NEAR(t.velocity[at + 12], to.v[c], 1e-5) << row;
            }
            for (std::size_t b = 0; b < 4; ++b) {
                ASSERT_EQ(t.charge[static_cast<std::size_t>(row) * 4 + b], from.m[b]);
            }
            ++row;
            ++kept;
        }
        EXPECT_EQ(made.dropped[static_cast<std::size_t>(p)], dropped) << split_name(part);
    }
    // Neither threads nor the sizes of other parts change a system.
    PlanetPlan other = plan;
    other.threads = 1;
    other.count = {40, 0, 0, 250};
    const Trajectories again = simulate_planets(other).trajectories;
    ASSERT_EQ(again.simulations, 290);
    EXPECT_TRUE(std::equal(again.position.begin(), again.position.begin() + 40 * 24, t.position.begin()));
    EXPECT_TRUE(
        std::equal(again.position.begin() + 40 * 24, again.position.end(), t.position.begin() + 45 * 24));
}

TEST(Planets, are_a_data_set_of_four_parts) {
    const test::TemporaryFolder folder;
    const std::string path = folder.file("g4.h5");
    PlanetPlan plan;
    plan.count = {6, 4, 3, 5};
    const Trajectories made = simulate_planets(plan).trajectories;
    write_trajectories(path, made);
    const GraphSet set = open_data_set("gravity4", path, {});
    EXPECT_EQ(set.name, "gravity4");
    EXPECT_EQ(set.samples(Split::train).size(), 6U);
    EXPECT_EQ(set.samples(Split::validation).size(), 4U);
    EXPECT_EQ(set.samples(Split::test).size(), 3U);
    EXPECT_EQ(set.samples(Split::out_of_distribution), (std::vector<Index>{13, 14, 15, 16, 17}));
    EXPECT_EQ(set.edges(), 18 * 12) << "every body hears every other";
    for (std::size_t i = 0; i < made.charge.size(); ++i) {
        EXPECT_NEAR(set.field("charge").values[i], made.charge[i], 1e-6) << "masses";
    }
    EXPECT_NEAR(set.field("target").values[12 * 7 + 5], made.position[24 * 7 + 12 + 5], 1e-6);
    Settings fewer;
    fewer.set("train", Index{2});
    fewer.set("out_of_distribution", Index{1});
    const GraphSet few = open_data_set("gravity4", path, fewer);
    EXPECT_EQ(few.graphs(), 2 + 4 + 3 + 1);
    EXPECT_NE(few.sha256, set.sha256);
    fewer.set("out_of_distribution", Index{6});
    EXPECT_TRUE(contains(error_of([&] { (void)open_data_set("gravity4", path, fewer); }),
                         "holds 5 out-of-distribution simulations; 6 were asked for"));
    EXPECT_TRUE(
        contains(error_of([&] { (void)open_data_set("nbody", path, {}); }), "frame 30 is not in the file"));
}

} // namespace
} // namespace tether::data
