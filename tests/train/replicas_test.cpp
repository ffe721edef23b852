// Several trainings in one process: each is the run that its own job would be, bit for bit, on cores and
// through the launches of a device, whatever the others do.
#include "tests/support/reference.hpp"
#include "tests/train/training.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

namespace tether::test {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> runs_in(const std::string& folder) {
    std::vector<std::string> found;
    for (const auto& item : fs::directory_iterator(folder)) {
        found.push_back(item.path().string());
    }
    std::ranges::sort(found);
    return found;
}

// Trains `training` with the keys of replicas added, expects these runs, and compares each with its run
// alone.
void expect_same_as_alone(const Training& training, const std::vector<std::string>& keys,
                          const std::vector<std::string>& alone, const std::vector<std::string>& flags) {
    const TemporaryFolder folder;
    const Outcome outcome =
        tether(training.with(keys).arguments(folder.file("together"), {.threads = 2}, flags), folder.path());
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    ASSERT_EQ(runs_in(folder.file("together")).size(), alone.size());
    for (const std::string& key : alone) {
        const std::string runs = folder.file("alone_" + key);
        const Record expected = train(training.with({key}), runs, {}, flags);
        const std::string name = fs::path(only_run(runs)).filename().string();
        ASSERT_TRUE(fs::exists(folder.file("together") + "/" + name)) << key << ": no run " << name;
        EXPECT_EQ(difference(read_record(folder.file("together") + "/" + name), expected), "") << key;
    }
}

TEST(Replicas, are_the_runs_of_their_seeds) {
    expect_same_as_alone(small("segnn_ace", 20), {"seed=5", "train.replicas=3"},
                         {"seed=5", "seed=6", "seed=7"}, {});
}

TEST(Replicas, are_the_runs_of_a_swept_key) {
    expect_same_as_alone(
        small("egnn_ace", 20),
        {"train.replicas=2", "train.replica_key=\"dual.lr\"", "train.replica_values=[1e-3,2e-3]"},
        {"dual.lr=1e-3", "dual.lr=2e-3"}, {});
}

TEST(Replicas, go_through_the_same_launches_of_a_device) {
    expect_same_as_alone(small("segnn_ace", 8), {"seed=5", "train.replicas=3"},
                         {"seed=5", "seed=6", "seed=7"}, {"--device", "emulation"});
}

// One is complete already and one fails: the others do not wait for them.
TEST(Replicas, do_not_wait_for_those_that_are_gone) {
    const TemporaryFolder folder;
    const Training training = small("segnn_ace", 8);
    (void)train(training.with({"seed=6"}), folder.file("runs"), {}, {"--device", "emulation"});
    const Outcome outcome =
        tether(training.with({"seed=5", "train.replicas=3"})
                   .arguments(folder.file("runs"), {.threads = 2}, {"--device", "emulation"}),
               folder.path());
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(runs_in(folder.file("runs")).size(), 3U);
}

TEST(Replicas, bad_numbers_of_values_are_refused) {
    const TemporaryFolder folder;
    for (const std::vector<std::string>& keys :
         {std::vector<std::string>{"train.replicas=3", "train.replica_values=[1,2]"},
          std::vector<std::string>{"train.replicas=2", "train.replica_key=\"dual.lr\""},
          std::vector<std::string>{"train.replicas=2", "train.replica_values=[4,4]"},
          std::vector<std::string>{"train.replicas=2", "train.replica_key=\"dual.rate\"",
                                   "train.replica_values=[1,2]"}}) {
        const Outcome outcome =
            tether(small("segnn_ace", 8).with(keys).arguments(folder.file("runs")), folder.path());
        EXPECT_EQ(outcome.code, 2) << keys.back();
        EXPECT_NE(outcome.err.find("repl"), std::string::npos) << outcome.err;
    }
    EXPECT_FALSE(fs::exists(folder.file("runs")));
}

} // namespace
} // namespace tether::test
