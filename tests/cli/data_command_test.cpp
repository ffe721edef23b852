// `tether data` as a user calls it.
#include "tether/cli/data_command.hpp"

#include "tests/support/reference.hpp"
#include "tether/core/error.hpp"
#include "tether/data/mocap.hpp"
#include "tether/data/nbody.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace tether::cli {
namespace {
namespace fs = std::filesystem;

std::string run(const std::vector<std::string>& arguments) {
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    int code = -1;
    std::string thrown;
    try {
        code = data_command(arguments);
    } catch (const Error& error) {
        thrown = error.what();
        code = static_cast<int>(error.code());
    }
    testing::internal::GetCapturedStderr();
    return fmt::format("{} {}{}", code, testing::internal::GetCapturedStdout(), thrown);
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

TEST(DataCommand, MakesAFileOnceAndTheSameEveryTime) {
    const test::TemporaryFolder folder;
    const std::string path = folder.file("n.h5");
    const std::string said = run({"nbody", "--out", path, "--simulations", "14", "--threads=1"});
    EXPECT_TRUE(
        said.starts_with("0 wrote " + path + ": 14 simulations of 5 bodies (10 train, 2 validation, 2 test)"))
        << said;
    EXPECT_EQ(data::open_nbody(path, {}).graphs(), 14);
    EXPECT_TRUE(
        contains(run({"nbody", "--out", path, "--simulations", "14"}), "exists already; give --force"));
    const std::string again =
        run({"nbody", "--out", path, "--simulations", "14", "--threads", "2", "--force"});
    EXPECT_EQ(said, again);
    EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 1);
    const std::string all =
        run({"nbody", "--out", folder.file("all.h5"), "--simulations", "14", "--all-frames"});
    EXPECT_TRUE(contains(all, "frames 0 to 48")) << all;
    const data::GraphSet whole = data::open_nbody(folder.file("all.h5"), {});
    EXPECT_EQ(whole.sha256, data::open_nbody(path, {}).sha256);
}

TEST(DataCommand, Gravity) {
    const test::TemporaryFolder folder;
    const std::string said = run({"gravity", "--out", folder.file("g.h5"), "--simulations", "7"});
    EXPECT_TRUE(contains(said, "7 simulations of 100 bodies (5 train, 1 validation, 1 test), frames 30, 40"))
        << said;
    EXPECT_EQ(data::open_nbody(folder.file("g.h5"), {}).edges(), 4200);
}

TEST(DataCommand, MotionCaptureFromFilesAndFromAStoredSet) {
    const test::TemporaryFolder folder;
    const std::string fixtures = TETHER_SOURCE_DIR "/tests/reference/mocap/";
    fs::copy(fixtures + "35.asf", folder.file("35.asf"));
    for (const char* name : {"35_01.amc", "35_02.amc", "35_03.amc"}) {
        fs::copy(fixtures + "35_01.amc", folder.file(name));
    }
    const std::string made = run({"mocap", "--from", folder.path(), "--out", folder.file("m.h5")});
    EXPECT_TRUE(contains(made,
                         "360 frames of 31 joints in 3 trials; 1 train trials (89 samples), 1 validation "
                         "trials (89 samples), 1 test trials (89 samples); AMC length unit (5.6444 cm)"))
        << made;
    EXPECT_TRUE(contains(made, "mocap.cs.cmu.edu"));
    EXPECT_EQ(data::open_mocap(folder.file("m.h5"), {}).graphs(), 3 * 89);
    const std::string stored =
        run({"mocap", "--from", std::string(TETHER_SOURCE_DIR) + "/data/mocap/run_subject09.h5", "--out",
             folder.file("r.h5")});
    EXPECT_TRUE(contains(stored, "1536 frames of 31 joints in 11 trials; 5 train trials (400 samples)"))
        << stored;
    EXPECT_EQ(
        data::open_mocap(folder.file("r.h5"), {.train = 200}).sha256,
        data::open_mocap(std::string(TETHER_SOURCE_DIR) + "/data/mocap/run_subject09.h5", {.train = 200})
            .sha256);
    EXPECT_TRUE(
        contains(run({"mocap", "--from", folder.path(), "--out", folder.file("x.h5"), "--horizon", "119"}),
                 "3 trial '35_01' has 120 frames; a horizon of 119 needs 121 or more"));
    EXPECT_TRUE(
        contains(run({"mocap", "--from", folder.file("r.h5"), "--out", folder.file("x.h5"), "--seed", "3"}),
                 "has one already"));
    EXPECT_TRUE(
        contains(run({"mocap", "--out", folder.file("x.h5")}), "--from FOLDER or --from FILE.h5 is missing"));
    EXPECT_FALSE(fs::exists(folder.file("x.h5")));
}

TEST(DataCommand, FourBodiesWithAPartTurnedFar) {
    const test::TemporaryFolder folder;
    const std::string said = run({"gravity4", "--out", folder.file("g.h5"), "--train", "4", "--validation",
                                  "3", "--test", "2", "--out-of-distribution", "5"});
    EXPECT_TRUE(contains(said,
                         "14 simulations of 4 bodies (4 train, 3 validation, 2 test, 5 out of distribution), "
                         "frames 0, 1"))
        << said;
    const std::string none = run({"gravity4", "--out", folder.file("h.h5"), "--train", "4", "--validation",
                                  "3", "--test", "2", "--out-of-distribution", "0"});
    EXPECT_TRUE(contains(none, "(4 train, 3 validation, 2 test), frames 0, 1")) << none;
    EXPECT_TRUE(contains(run({"gravity4", "--out", folder.file("i.h5"), "--train", "0"}), "found '0'"));
    EXPECT_TRUE(contains(run({"gravity4", "--out", folder.file("i.h5"), "--all-frames"}), "--all-frames"));
    EXPECT_FALSE(fs::exists(folder.file("i.h5")));
}

TEST(DataCommand, MistakesAreExplained) {
    const test::TemporaryFolder folder;
    EXPECT_TRUE(contains(run({"--help"}), "0 usage: tether data SET"));
    EXPECT_TRUE(contains(run({"nbody", "--help"}), "example: tether data nbody"));
    EXPECT_TRUE(run({}).starts_with("2 "));
    EXPECT_TRUE(contains(run({"nbdy", "--out", "x"}), "2 data: no set 'nbdy' (did you mean 'nbody'?)"));
    EXPECT_TRUE(contains(run({"nbody", "--simulation", "3"}), "did you mean '--simulations'"));
    EXPECT_TRUE(contains(run({"nbody", "--sed=3"}), "did you mean '--seed'"));
    EXPECT_TRUE(contains(run({"nbody"}), "--out FILE.h5 is missing"));
    EXPECT_TRUE(contains(run({"nbody", "--out"}), "--out needs a value"));
    EXPECT_TRUE(contains(run({"nbody", "--out", folder.file("a.h5"), "--simulations", "1e3"}),
                         "found '1e3', expected integer 7"));
    EXPECT_TRUE(contains(run({"nbody", "--out", folder.file("no/a.h5")}), "14 " + folder.file("no/a.h5")));
    EXPECT_TRUE(contains(run({"import", "--out", folder.file("a.h5")}), "--from FOLDER is missing"));
    EXPECT_TRUE(contains(run({"import", "--out", folder.file("a.h5"), "--from", folder.path()}), "3 "));
    EXPECT_TRUE(fs::is_empty(folder.path()));
}

} // namespace
} // namespace tether::cli
