// Reading the published set and our own files, and what is said about bad ones.
#include "tether/data/nbody.hpp"

#include "tests/data/support.hpp"
#include "tests/support/reference.hpp"
#include "tether/core/hdf5.hpp"
#include "tether/data/data_sets.hpp"
#include "tether/data/simulate.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

namespace tether::data {
namespace {

const std::string published = TETHER_SOURCE_DIR "/data/nbody/charged5_small.h5";

double test_error(const GraphSet& set, double factor) {
    const std::vector<double>& x = set.field("position").values;
    const std::vector<double>& v = set.field("velocity").values;
    const std::vector<double>& y = set.field("target").values;
    double sum = 0;
    for (const Index sample : set.samples(Split::test)) {
        for (auto c = static_cast<std::size_t>(sample) * 15; c < static_cast<std::size_t>(sample + 1) * 15;
             ++c) {
            sum += std::pow(x[c] + factor * v[c] - y[c], 2);
        }
    }
    return sum / static_cast<double>(15 * set.samples(Split::test).size());
}

TEST(NBody, ThePublishedSet) {
    const GraphSet set = open_nbody(published, {.train = 3000});
    EXPECT_EQ(set.samples(Split::train).size(), 3000U);
    EXPECT_EQ(set.samples(Split::validation).size(), 2000U);
    EXPECT_EQ(set.samples(Split::test).size(), 2000U);
    EXPECT_EQ(set.graphs(), 7000);
    EXPECT_EQ(set.nodes(), 35000);
    EXPECT_EQ(set.edges(), 140000);
    EXPECT_NEAR(test_error(set, 0), 0.2716, 5e-5);
    EXPECT_NEAR(test_error(set, 1), 0.1099, 5e-5);
    EXPECT_NEAR(test_error(set, 0.731), 0.0845, 5e-5);
    const GraphSet all = open_nbody(published, {});
    EXPECT_EQ(all.samples(Split::train).size(), 10000U);
    EXPECT_NE(all.sha256, set.sha256);
    const GraphSet earlier = open_nbody(published, {.train = 10, .validation = 3, .test = 4, .frame_in = 20});
    EXPECT_EQ(earlier.graphs(), 17);
    EXPECT_TRUE(contains(error_of([] { (void)open_nbody(published, {.train = 10001}); }),
                         "holds 10000 train simulations; 10001 were asked for"));
    EXPECT_TRUE(contains(error_of([] { (void)open_nbody(published, {.frame_in = 31}); }),
                         "/loc: frame 31 is not in the file; it holds [20, 30, 40]"));
}

TEST(NBody, OpenedByName) {
    Settings settings;
    settings.set("train", Index{5});
    settings.set("validation", Index{1});
    settings.set("test", Index{1});
    EXPECT_EQ(open_data_set("nbody", published, settings).graphs(), 7);
    EXPECT_TRUE(
        contains(error_of([&] { (void)open_data_set("gravity", published, settings); }), "set 'nbody'"));
    EXPECT_TRUE(contains(error_of([&] { (void)open_data_set("nbdy", published, settings); }, ExitCode::usage),
                         "did you mean 'nbody'"));
    EXPECT_TRUE(
        contains(error_of([&] { (void)open_data_set("nbody", "/no/such.h5", settings); }), "/no/such.h5"));
}

TEST(NBody, ThePublishedSimulatorsOwnFiles) {
    const GraphSet charged = open_nbody(TETHER_SOURCE_DIR "/tests/reference/nbody/charged5_first8.h5", {});
    EXPECT_EQ(charged.graphs(), 8); // 5, 1, 2
    EXPECT_EQ(charged.samples(Split::train).size(), 5U);
    const GraphSet small = open_nbody(published, {.train = 8, .validation = 1, .test = 1});
    for (std::size_t c = 0; c < 8 * 15; ++c) {
        EXPECT_EQ(static_cast<float>(charged.field("target").values[c]), small.field("target").values[c]);
    }
    const GraphSet gravity = open_nbody(TETHER_SOURCE_DIR "/tests/reference/nbody/gravity100_first1.h5",
                                        {.frame_in = 30, .frame_out = 31});
    EXPECT_EQ(gravity.name, "gravity");
    EXPECT_EQ(gravity.nodes(), 100);
    EXPECT_EQ(gravity.edges(), 600);
    EXPECT_EQ(gravity.field("charge").values, std::vector<double>(100, 1.0));
}

TEST(NBody, NearestNeighbours) {
    GraphSet set;
    set.add_graph(5);
    const std::vector<double> x{0, 0, 0, 1, 0, 0, 2.5, 0, 0, 10, 0, 0, -1, 0, 0};
    connect_nearest(set, x, 2);
    set.finish();
    EXPECT_EQ(set.receiver, (std::vector<std::int32_t>{0, 0, 1, 1, 2, 2, 3, 3, 4, 4}));
    EXPECT_EQ(set.sender, (std::vector<std::int32_t>{1, 4, 0, 2, 0, 1, 1, 2, 0, 1}));
    GraphSet tiny;
    tiny.add_graph(2);
    connect_nearest(tiny, std::vector<double>{0, 0, 0, 1, 0, 0}, 6);
    EXPECT_EQ(tiny.edges(), 2);
}

Trajectories generated(Index simulations = 14) {
    SimulationPlan plan;
    plan.simulations = simulations;
    plan.frames = {30, 40};
    return simulate_charged(plan);
}

TEST(NBody, OurOwnFileRoundTrip) {
    const test::TemporaryFolder folder;
    const std::string path = folder.file("own.h5");
    const Trajectories made = generated();
    const std::string checksum = write_trajectories(path, made);
    EXPECT_EQ(checksum, write_trajectories(folder.file("again.h5"), made));
    const GraphSet set = open_nbody(path, {});
    EXPECT_EQ(set.name, "nbody");
    EXPECT_EQ(set.seed, 43);
    EXPECT_EQ(set.licence, "Apache-2.0");
    EXPECT_EQ(set.samples(Split::train).size(), 10U);
    EXPECT_EQ(set.samples(Split::validation).size(), 2U);
    EXPECT_EQ(set.samples(Split::test).size(), 2U);
    for (std::size_t c = 0; c < 15; ++c) {
        EXPECT_EQ(set.field("position").values[15 + c], static_cast<float>(made.position[30 + c]));
        EXPECT_EQ(set.field("target").values[15 + c], static_cast<float>(made.position[45 + c]));
        EXPECT_EQ(set.field("velocity").values[15 + c], static_cast<float>(made.velocity[30 + c]));
    }
    const hdf5::Reader file(path);
    EXPECT_EQ(file.text_attribute("/", "sha256"), checksum);
    EXPECT_EQ(file.text_attribute("loc", "units"), "1");
    EXPECT_EQ(file.text_attribute("/", "source"), "tether data nbody");
    Trajectories bad = made;
    bad.velocity[33] = std::nan("");
    const std::string message = error_of([&] { write_trajectories(folder.file("nan.h5"), bad); });
    EXPECT_TRUE(contains(message, "vel: element [1, 0, 1, 0] is nan")) << message;
    EXPECT_FALSE(std::filesystem::exists(folder.file("nan.h5")));
}

// Written with one change each; the reader must name file, dataset and what it expected.
TEST(NBody, BadFilesAreNamed) {
    const test::TemporaryFolder folder;
    using Shape = std::vector<Index>;
    struct Content {
        std::vector<double> loc = std::vector<double>(7 * 2 * 5 * 3, 0.5), vel = loc,
                            charge = std::vector<double>(35, 1);
        Shape loc_shape{7, 2, 5, 3}, vel_shape{7, 2, 5, 3}, charge_shape{7, 5};
        std::vector<Index> frames{30, 40}, split{0, 0, 0, 0, 0, 1, 2};
        bool with_charge = true;
        std::string checksum;
    };
    const auto open = [&](const auto& change) {
        Content c;
        change(c);
        const std::string path = folder.file("bad.h5");
        hdf5::Writer file(path);
        file.write("loc", c.loc, c.loc_shape);
        file.write("vel", c.vel, c.vel_shape);
        if (c.with_charge) {
            file.write("charge", c.charge, c.charge_shape);
        }
        file.write("frames", std::span<const Index>(c.frames), {std::ssize(c.frames)});
        file.write("split", std::span<const Index>(c.split), {std::ssize(c.split)});
        file.attribute("/", "system", "charged");
        if (!c.checksum.empty()) {
            file.attribute("/", "sha256", c.checksum);
        }
        file.close();
        return open_nbody(path, {});
    };
    EXPECT_EQ(open([](Content&) {}).graphs(), 7);
    const auto message = [&](const auto& change) {
        std::string text = error_of([&] { (void)open(change); });
        EXPECT_TRUE(contains(text, folder.file("bad.h5"))) << text;
        return text;
    };
    const auto expect = [&](const auto& change, const std::string& part) {
        const std::string text = message(change);
        EXPECT_TRUE(contains(text, part)) << text;
    };
    const double inf = std::numeric_limits<double>::infinity();
    expect([&](Content& c) { c.loc[2 * 30 + 15 + 4] = inf; },
           ":/loc: element [2, 1, 1, 1] is inf; finite numbers");
    expect([](Content& c) { c.vel.back() = std::nan(""); }, ":/vel: element [6, 1, 4, 2] is nan");
    expect([](Content& c) { c.charge[6] = std::nan(""); }, ":/charge: element [1, 1] is nan");
    expect(
        [](Content& c) {
            c.loc_shape = c.vel_shape = {7, 2, 3, 5};
        },
        "[simulations, frames, bodies, 3] was expected");
    expect([](Content& c) { c.loc_shape = {7, 30}; }, "/loc: has shape [7, 30]");
    expect(
        [](Content& c) {
            c.vel_shape = {14, 1, 5, 3};
        },
        "/vel: has shape [14, 1, 5, 3], /loc has [7, 2, 5, 3]");
    expect([](Content& c) { c.charge_shape = {5, 7}; }, "/charge: has shape [5, 7]; [7, 5] was expected");
    expect([](Content& c) { c.frames = {30, 40, 50}; }, "/frames: has shape [3]; [2] was expected");
    expect([](Content& c) { c.frames = {40, 30}; }, "ascending frame numbers");
    expect([](Content& c) { c.split[1] = 4; }, "/split: element 1 is 4; 0 (train)");
    expect([](Content& c) { c.split.pop_back(); }, "/split: has shape [6]; [7] was expected");
    expect([](Content& c) { c.with_charge = false; }, "/charge: no such dataset");
    expect([](Content& c) { c.checksum = std::string(64, 'a'); }, "attribute sha256 says aaaa");
}

TEST(NBody, DamagedFilesAreFound) {
    const test::TemporaryFolder folder;
    const std::string path = folder.file("own.h5");
    write_trajectories(path, generated(70));
    std::ifstream in(path, std::ios::binary);
    const std::vector<char> good(std::istreambuf_iterator<char>(in), {});
    const auto put = [&](const std::vector<char>& bytes) {
        std::ofstream out(folder.file("bad.h5"), std::ios::binary);
        out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    };
    for (const double part : {0.0, 0.01, 0.5, 0.999}) {
        std::vector<char> cut = good;
        cut.resize(static_cast<std::size_t>(part * static_cast<double>(good.size())));
        put(cut);
        EXPECT_TRUE(contains(error_of([&] { (void)open_nbody(folder.file("bad.h5"), {}); }), "bad.h5"))
            << part;
    }
    // One flipped bit among the numbers: found by the checksum, or as a number that is not finite.
    const double x = hdf5::Reader(path).doubles("loc")[1000];
    const auto value = static_cast<float>(x);
    std::array<char, 4> bytes{};
    std::memcpy(bytes.data(), &value, 4);
    const auto at = std::search(good.begin(), good.end(), bytes.begin(), bytes.end()) - good.begin();
    ASSERT_LT(at, std::ssize(good));
    for (int bit = 0; bit < 32; bit += 5) {
        std::vector<char> flipped = good;
        char& byte = flipped[static_cast<std::size_t>(at + bit / 8)];
        byte = static_cast<char>(byte ^ (1 << (bit % 8)));
        put(flipped);
        EXPECT_TRUE(contains(error_of([&] { (void)open_nbody(folder.file("bad.h5"), {}); }), "bad.h5"))
            << bit;
    }
}

} // namespace
} // namespace tether::data
