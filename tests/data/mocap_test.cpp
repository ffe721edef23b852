// The motion capture task on the stored sets, sets made from files, and what is said about bad ones.
#include "tether/data/mocap.hpp"

#include "tests/data/support.hpp"
#include "tests/support/reference.hpp"
#include "tether/core/hdf5.hpp"
#include "tether/data/data_sets.hpp"
#include "tether/data/motion.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <numeric>
#include <set>

namespace tether::data {
namespace {

const std::string walk = TETHER_SOURCE_DIR "/data/mocap/walk_subject35.h5";
const std::string run = TETHER_SOURCE_DIR "/data/mocap/run_subject09.h5";

// Mean squared errors per coordinate, 30 frames ahead, over all frames: standing still, and going on as in
// the last step, x_t - x_{t-1} (the task's own v_t is the step to come).
std::pair<double, double> baselines(const Motion& m) {
    constexpr Index ahead = 30;
    const Index row = m.joints() * 3;
    double still = 0;
    double moving = 0;
    Index count = 0;
    for (Index t = 0; t < std::ssize(m.trial_length); ++t) {
        const double* x = m.position.data() + m.first_frame(t) * row;
        for (Index f = 1; f + ahead < m.trial_length[static_cast<std::size_t>(t)] - 1; ++f) {
            for (Index k = f * row; k < (f + 1) * row; ++k) {
                const double v = x[k] - x[k - row];
                still += std::pow(x[k + ahead * row] - x[k], 2);
                moving += std::pow(x[k + ahead * row] - x[k] - ahead * v, 2);
                ++count;
            }
        }
    }
    return {still / static_cast<double>(count), moving / static_cast<double>(count)};
}

Motion small_motion(Index trials, Index frames) {
    Motion m;
    m.joint_name = {"root", "a", "b", "c"};
    m.parent = {-1, 0, 1, 0};
    m.units = "cm";
    for (Index t = 0; t < trials; ++t) {
        m.trial_name.push_back("t" + std::to_string(t));
        m.trial_length.push_back(frames + t);
    }
    m.position.resize(static_cast<std::size_t>(m.first_frame(trials) * 12));
    for (std::size_t i = 0; i < m.position.size(); ++i) {
        m.position[i] = static_cast<double>(i % 97) * 0.25;
    }
    return m;
}

TEST(Mocap, TheStoredSetsHaveTheirCheckValues) {
    const Motion w = read_motion(walk);
    EXPECT_EQ(w.trial_length.size(), 23U);
    EXPECT_EQ(w.first_frame(23), 9591);
    EXPECT_TRUE(contains(w.credit, "mocap.cs.cmu.edu"));
    EXPECT_NEAR(baselines(w).first, 12.44, 5e-3);
    EXPECT_NEAR(baselines(w).second, 2.94, 5e-3);
    const Motion r = read_motion(run);
    EXPECT_EQ(r.trial_length.size(), 11U);
    EXPECT_EQ(r.first_frame(11), 1536);
    EXPECT_NEAR(baselines(r).first, 92.1, 5e-2);
    EXPECT_NEAR(baselines(r).second, 22.2, 5e-2);
}

TEST(Mocap, TheProtocol) {
    const GraphSet w = open_mocap(walk, {.train = 200});
    EXPECT_EQ(w.samples(Split::train).size(), 198U);
    EXPECT_EQ(w.samples(Split::validation).size(), 600U);
    EXPECT_EQ(w.samples(Split::test).size(), 600U);
    EXPECT_EQ(w.nodes(0), 31);
    EXPECT_EQ(w.edges(0), 130);
    const std::vector<double>& kind = w.field("kind").values;
    EXPECT_EQ(std::count(kind.begin(), kind.begin() + 130, 1.0), 60);
    EXPECT_EQ(std::count(kind.begin(), kind.begin() + 130, 2.0), 70);
    EXPECT_EQ(w.group.name(), "O2");
    EXPECT_EQ(w.group.vertical, (symmetry::Vector3{0, 1, 0}));
    const GraphSet r = open_mocap(run, {.train = 200});
    EXPECT_EQ(r.samples(Split::train).size(), 200U);
    EXPECT_EQ(r.samples(Split::validation).size(), 240U);
    EXPECT_EQ(r.samples(Split::test).size(), 240U);
    EXPECT_EQ(open_mocap(run, {}).samples(Split::train).size(), 400U);
}

TEST(Mocap, FieldsOfASample) {
    const Motion m = read_motion(run);
    const GraphSet set = open_mocap(run, {.train = 200});
    const hdf5::Reader file(run);
    const Index trial = file.integers("published_split/train/trial")[1];
    const Index start = file.integers("published_split/train/start_frame")[80 + 3];
    const Index sample = 40 + 3; // 40 of every trial
    const auto x = [&](Index frame, Index joint, Index axis) {
        return m.position[static_cast<std::size_t>(((m.first_frame(trial) + frame) * 31 + joint) * 3 + axis)];
    };
    for (const Index j : {Index{0}, Index{7}, Index{30}}) {
        const auto row = static_cast<std::size_t>(sample * 31 + j);
        for (Index a = 0; a < 3; ++a) {
            const auto k = static_cast<std::size_t>(a);
            EXPECT_EQ(set.field("position").values[3 * row + k], x(start, j, a));
            EXPECT_EQ(set.field("velocity").values[3 * row + k], x(start + 1, j, a) - x(start, j, a));
            EXPECT_EQ(set.field("target").values[3 * row + k], x(start + 30, j, a));
            for (Index t = 0; t < 5; ++t) {
                EXPECT_EQ(set.field("position_later").values[15 * row + static_cast<std::size_t>(3 * t) + k],
                          x(start + 26 + t, j, a));
            }
        }
        EXPECT_EQ(set.field("height").values[row], x(start, j, 1) / 10);
    }
    EXPECT_EQ(set.field("position").units, "AMC length unit (5.6444 cm)");
}

TEST(Mocap, OpenedByName) {
    Settings settings;
    settings.set("train", Index{200});
    settings.set("times", Index{2});
    EXPECT_EQ(open_data_set("mocap", run, settings).field("position_later").width, 6);
    EXPECT_TRUE(contains(error_of([&] { (void)open_data_set("nbody", run, settings); }), run));
    settings.set("times", Index{31});
    EXPECT_TRUE(contains(error_of([&] { (void)open_data_set("mocap", run, settings); }, ExitCode::usage),
                         "1 <= times <= horizon"));
    for (const DataSet& entry : data_sets()) {
        if (entry.choice.word == "mocap") {
            const GraphSet set = open_mocap(run, {.train = 5});
            ASSERT_EQ(entry.fields.size(), set.fields.size());
            for (const std::string& name : entry.fields) {
                EXPECT_NO_THROW((void)set.field(name));
            }
        }
    }
}

TEST(Mocap, TrialsShorterThanTheHorizon) {
    const std::string message = error_of([] { (void)open_mocap(run, {.train = 200, .horizon = 125}); });
    EXPECT_TRUE(contains(message, "frames with a velocity; start frame")) << message;
    Motion m = small_motion(3, 31); // 30 frames with a velocity
    const std::string drawn = error_of([&] { draw_split(m, {}); });
    EXPECT_TRUE(contains(drawn, "trial 't0' has 31 frames; a horizon of 30 needs 32 or more")) << drawn;
    Motion two = small_motion(2, 50);
    EXPECT_TRUE(contains(error_of([&] { draw_split(two, {}); }), "3 or more are needed"));
    EXPECT_TRUE(contains(error_of([] { (void)open_mocap(run, {.train = 401}); }),
                         "holds 400 train samples; 401 were asked for"));
    EXPECT_TRUE(contains(error_of([] { (void)open_mocap(run, {.train = 4}); }, ExitCode::usage),
                         "4 train samples of 5 trials"));
}

TEST(Mocap, DrawnSplits) {
    Motion m = small_motion(11, 60);
    draw_split(m, {.seed = 5});
    EXPECT_EQ(m.split[0].trial.size(), 5U);
    EXPECT_EQ(m.split[1].trial.size(), 3U);
    EXPECT_EQ(m.split[2].trial.size(), 3U);
    std::set<Index> all;
    for (const MotionSplit& part : m.split) {
        all.insert(part.trial.begin(), part.trial.end());
        for (std::size_t k = 0; k < part.trial.size(); ++k) {
            const std::set<Index> starts(part.start_frame[k].begin(), part.start_frame[k].end());
            EXPECT_EQ(starts.size(), part.start_frame[k].size()); // without repetition
            EXPECT_EQ(starts.size(), part.start_frame[0].size());
            EXPECT_LT(*starts.rbegin() + 30, m.trial_length[static_cast<std::size_t>(part.trial[k])] - 1);
        }
    }
    EXPECT_EQ(all.size(), 11U);
    Motion again = small_motion(11, 60);
    draw_split(again, {.seed = 5});
    EXPECT_EQ(again.split[0].start_frame, m.split[0].start_frame);
    draw_split(again, {.seed = 6});
    EXPECT_NE(again.split[0].start_frame, m.split[0].start_frame);
}

TEST(Mocap, WrittenAndReadAgain) {
    const test::TemporaryFolder folder;
    Motion m = small_motion(4, 40);
    draw_split(m, {.horizon = 5, .starts = 7});
    m.source = "made by a test";
    const std::string path = folder.file("m.h5");
    const std::string sum = write_motion(path, m);
    const Motion back = read_motion(path);
    EXPECT_EQ(back.position, m.position);
    EXPECT_EQ(back.split[2].start_frame, m.split[2].start_frame);
    EXPECT_EQ(back.source, "made by a test");
    EXPECT_EQ(write_motion(folder.file("again.h5"), back), sum);
    const GraphSet set = open_mocap(path, {.horizon = 5, .times = 1});
    EXPECT_EQ(set.graphs(), 4 * 7);
    EXPECT_EQ(set.edges(0), 2 * 3 + 2 * 2); // root-a, a-b, root-c; root-b, a-c
}

TEST(Mocap, BadFiles) {
    const test::TemporaryFolder folder;
    const auto refused = [&](const std::string& expected, auto&& change) {
        Motion m = small_motion(3, 40);
        draw_split(m, {});
        change(m);
        (void)write_motion(folder.file("m.h5"), m);
        const std::string message = error_of([&] { (void)open_mocap(folder.file("m.h5"), {}); });
        EXPECT_TRUE(contains(message, expected)) << message;
    };
    refused(":/parent: element 2 is 4; another joint of 0 to 3", [](Motion& m) { m.parent[2] = 4; });
    refused(":/parent: element 0 is 1; -1 (the root)", [](Motion& m) { m.parent[0] = 1; });
    refused(":/split/train/trial: element 0 is 3; a trial of 0 to 2",
            [](Motion& m) { m.split[0].trial[0] = 3; });
    refused(":/split/val/start_frame: element [0, 1] is -1; a frame of trial",
            [](Motion& m) { m.split[1].start_frame[0][1] = -1; });
    refused(":/xyz: element [1, 2, 0] is nan",
            [](Motion& m) { m.position[12 + 6] = std::numeric_limits<double>::quiet_NaN(); });
    EXPECT_TRUE(contains(error_of([] { (void)open_mocap("/no/such.h5", {}); }), "/no/such.h5"));
    const std::string nbody = TETHER_SOURCE_DIR "/data/nbody/charged5_small.h5";
    EXPECT_TRUE(contains(error_of([&] { (void)open_mocap(nbody, {}); }), "xyz"));
}

TEST(Mocap, ImportedFromAFolder) {
    const std::string folder = TETHER_SOURCE_DIR "/tests/reference/mocap";
    std::vector<std::string> read;
    const Motion m = import_motion(folder, [&](const std::string& path) { read.push_back(path); });
    EXPECT_EQ(read.size(), 2U);
    EXPECT_EQ(m.trial_name, std::vector<std::string>{"35_01"});
    EXPECT_EQ(m.trial_length, std::vector<Index>{120});
    EXPECT_EQ(m.units, "AMC length unit (5.6444 cm)");
    const test::TemporaryFolder empty;
    EXPECT_TRUE(contains(error_of([&] { (void)import_motion(empty.path()); }), "holds 0 .asf files"));
    EXPECT_TRUE(contains(error_of([] { (void)import_motion("/no/folder"); }), "no such folder"));
}

} // namespace
} // namespace tether::data
