// Which folder a training takes, and who may write there: a finished run is recognised, a fresh one is
// made only when asked for, and two processes never share a run.
#include "tests/support/reference.hpp"
#include "tests/train/training.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <thread>

namespace tether::test {
namespace {
namespace fs = std::filesystem;
using namespace std::chrono_literals;

std::map<std::string, std::pair<std::uintmax_t, fs::file_time_type>> listing(const std::string& folder) {
    std::map<std::string, std::pair<std::uintmax_t, fs::file_time_type>> out;
    for (const auto& item : fs::recursive_directory_iterator(folder)) {
        out[item.path().string()] = {item.is_regular_file() ? item.file_size() : 0, item.last_write_time()};
    }
    return out;
}

TEST(RunFolders, finished_run_is_recognised_and_left_alone) {
    const TemporaryFolder folder;
    const Training training = small("segnn_ace", 10);
    const std::string runs = folder.file("runs");
    const Record first = train(training, runs);
    ASSERT_EQ(first.status, "complete");
    const auto before = listing(runs);
    for (const std::string word : {"auto", "require"}) {
        const Outcome again =
            tether(training.arguments(runs, {.threads = 2}, {"--resume", word}), folder.path());
        EXPECT_EQ(again.code, 0) << again.err;
        EXPECT_EQ(again.folder(), only_run(runs));
        EXPECT_NE(again.err.find("complete"), std::string::npos) << again.err;
        EXPECT_EQ(listing(runs), before);
    }
}

TEST(RunFolders, never_makes_a_second_folder_with_the_same_end) {
    const TemporaryFolder folder;
    const Training training = small("segnn_ace", 10);
    const std::string runs = folder.file("runs");
    const Record first = train(training, runs);
    const std::string name = only_run(runs);
    const auto before = listing(name);
    const Outcome second = tether(training.arguments(runs, {}, {"--resume", "never"}), folder.path());
    ASSERT_EQ(second.code, 0) << second.err;
    EXPECT_EQ(second.folder(), name + "-2");
    EXPECT_EQ(difference(read_record(second.folder()), first), "");
    EXPECT_EQ(listing(name), before);
}

TEST(RunFolders, require_without_a_run_is_a_usage_error) {
    const TemporaryFolder folder;
    const std::string runs = folder.file("runs");
    const Outcome outcome =
        tether(small("segnn_ace", 10).arguments(runs, {}, {"--resume", "require"}), folder.path());
    EXPECT_EQ(outcome.code, 2);
    EXPECT_NE(outcome.err.find("--resume require"), std::string::npos) << outcome.err;
    EXPECT_FALSE(fs::exists(runs));
}

TEST(RunFolders, other_numbers_make_another_folder_other_threads_do_not) {
    const TemporaryFolder folder;
    const std::string runs = folder.file("runs");
    const Training training = small("segnn_ace", 10);
    const auto run = [&](const Training& t, const Place& place) {
        const Outcome outcome = tether(t.arguments(runs, place), folder.path());
        EXPECT_EQ(outcome.code, 0) << outcome.err;
        return outcome.folder();
    };
    const std::string first = run(training, {});
    EXPECT_EQ(run(training.with({"log.every=3", "log.keep=1"}), {.threads = 2, .lanes_at_once = 2}), first);
    EXPECT_NE(run(training.with({"seed=43"}), {}), first);
}

TEST(RunFolders, second_process_is_told_who_holds_the_run_and_does_no_harm) {
    const TemporaryFolder folder;
    const Training training = small("segnn_ace", 1'000'000).with({"log.checkpoint_every_steps=10"});
    const std::string runs = folder.file("runs");
    fs::create_directories(runs);
    Process first(training.command(runs), folder.path());
    while (only_run(runs).empty() || newest_checkpoint(only_run(runs)) == 0) {
        ASSERT_TRUE(first.running()) << first.wait().err;
        std::this_thread::sleep_for(5ms);
    }
    for (const std::string word : {"auto", "require"}) {
        const Outcome second = tether(training.arguments(runs, {}, {"--resume", word}), folder.path());
        EXPECT_EQ(second.code, 2) << second.err;
        EXPECT_NE(second.err.find(fmt::format("process {}", first.pid())), std::string::npos) << second.err;
        EXPECT_NE(second.err.find(only_run(runs)), std::string::npos) << second.err;
    }
    ASSERT_TRUE(first.running());
    first.signal(SIGTERM);
    EXPECT_EQ(first.wait().code, 75);
    const Record found = read_record(only_run(runs));
    EXPECT_EQ(found.status, "stopped");
    const std::vector<std::string> stop{"--stop-after", std::to_string(found.steps + 10)};
    const Record expected = train(training, folder.file("alone"), {}, stop);
    EXPECT_EQ(difference(train(training, runs, {}, stop), expected), "");
}

// The holder was killed: its lease is no obstacle, and no 45 s are waited for it.
TEST(RunFolders, lease_of_a_killed_process_is_taken_over_at_once) {
    const TemporaryFolder folder;
    const Training training = small("segnn_ace", 1'000'000).with({"log.checkpoint_every_steps=10"});
    const std::string runs = folder.file("runs");
    fs::create_directories(runs);
    Process first(training.command(runs), folder.path());
    while (only_run(runs).empty() || newest_checkpoint(only_run(runs)) == 0) {
        ASSERT_TRUE(first.running()) << first.wait().err;
        std::this_thread::sleep_for(5ms);
    }
    first.signal(SIGKILL);
    EXPECT_EQ(first.wait().code, 128 + SIGKILL);
    ASSERT_TRUE(fs::exists(only_run(runs) + "/lease"));
    const auto start = std::chrono::steady_clock::now();
    const std::vector<std::string> stop{"--stop-after",
                                        std::to_string(newest_checkpoint(only_run(runs)) + 1)};
    EXPECT_EQ(train(training, runs, {}, stop).status, "stopped");
    EXPECT_LT(std::chrono::steady_clock::now() - start, 30s);
}

} // namespace
} // namespace tether::test
