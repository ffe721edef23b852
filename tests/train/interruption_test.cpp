// A training that is killed, stopped or told to leave, and started again by the same command, ends
// with the state and the rows of one that was never interrupted.
#include "tests/support/reference.hpp"
#include "tests/train/kills.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <thread>

namespace tether::test {
namespace {
namespace fs = std::filesystem;
using namespace std::chrono_literals;

TEST(Interruption, fifty_kills_change_no_bit_of_segnn_ace) {
    const Training training = small("segnn_ace", 600).with({"log.checkpoint_every_steps=12"});
    expect_kills_do_no_harm(training, {.threads = 2}, wanted_kills(50), 11);
}

TEST(Interruption, kills_change_no_bit_of_egnn_resilient) {
    const Training training = small("egnn_ace_resilient", 600).with({"log.checkpoint_every_steps=20"});
    expect_kills_do_no_harm(training, {}, wanted_kills(12), 12);
}

class InterruptionRanks : public testing::Test {
    void SetUp() override {
        if (!mpi_available()) {
            GTEST_SKIP() << "built without MPI";
        }
    }
};

TEST_F(InterruptionRanks, kills_of_random_ranks_change_no_bit) {
    const Training training = small("segnn_ace_resilient", 300).with({"log.checkpoint_every_steps=12"});
    expect_kills_do_no_harm(training, {.ranks = 2}, wanted_kills(5), 13);
}

TEST_F(InterruptionRanks, kills_with_a_coordinator_of_its_own_change_no_bit) {
    const Training training = small("segnn_ace", 300).with({"log.checkpoint_every_steps=12"});
    expect_kills_do_no_harm(training, {.ranks = 2, .dedicated = true}, wanted_kills(5), 14);
}

// Another number of ranks goes on with what the first has left.
TEST_F(InterruptionRanks, goes_on_with_other_ranks) {
    const TemporaryFolder folder;
    const Training training = small("segnn_ace", 60);
    const Record expected = train(training, folder.file("whole"));
    const std::string runs = folder.file("runs");
    EXPECT_EQ(train(training, runs, {.threads = 2}, {"--stop-after", "20"}).status, "stopped");
    EXPECT_EQ(train(training, runs, {.ranks = 2, .dedicated = true}, {"--stop-after", "41"}).steps, 41);
    EXPECT_EQ(difference(train(training, runs, {.ranks = 4}), expected), "");
    EXPECT_NE(only_run(runs), "");
}

class StopAfter : public testing::TestWithParam<std::string> {};

TEST_P(StopAfter, the_same_command_goes_on) {
    const TemporaryFolder folder;
    const Training training = small(GetParam(), 70);
    const Record expected = train(training, folder.file("whole"));
    const std::string runs = folder.file("runs");
    for (const Index step : {1, 20, 33, 70}) { // 20: where an evaluation is due as well
        const Record stopped = train(training, runs, {}, {"--stop-after", std::to_string(step)});
        EXPECT_EQ(stopped.status, step < 70 ? "stopped" : "complete");
        EXPECT_EQ(stopped.steps, step);
    }
    EXPECT_NE(only_run(runs), "");
    EXPECT_EQ(difference(read_record(only_run(runs)), expected), "");
}

INSTANTIATE_TEST_SUITE_P(Jobs, StopAfter,
                         testing::Values("segnn_ace", "segnn_ace_resilient", "segnn_augment", "segnn_strict",
                                         "egnn_ace"),
                         [](const auto& tested) { return tested.param; });

// A training too long to end by itself is told to leave by `ask`, must say 75, and is then followed to
// a step some way on; so is one that was never asked.
void expect_leaves_with_75(const Place& place, const std::vector<std::string>& flags,
                           const std::function<void(Process&)>& ask) {
    const TemporaryFolder folder;
    const Training training = small("segnn_ace", 1'000'000).with({"log.checkpoint_every_steps=10"});
    const std::string runs = folder.file("runs");
    fs::create_directories(runs);
    Process process(training.command(runs, place, flags), folder.path());
    ASSERT_TRUE(until(process, [&] { return has_passed(runs, 9); })) << process.wait(0s).err;
    ask(process);
    const Outcome outcome = process.wait(60s);
    ASSERT_EQ(outcome.code, 75) << outcome.err;
    const Record stopped = read_record(only_run(runs));
    EXPECT_EQ(stopped.status, "stopped");
    EXPECT_EQ(newest_checkpoint(only_run(runs)), stopped.steps);
    std::vector<std::string> stop =
        flags.empty() || flags.front() != "--device" ? std::vector<std::string>{} : flags;
    stop.insert(stop.end(), {"--stop-after", std::to_string(stopped.steps + 25)});
    const Record expected = train(training, folder.file("whole"), {}, stop);
    EXPECT_EQ(difference(train(training, runs, place, stop), expected), "");
}

TEST(Interruption, a_signal_is_answered_by_75) {
    expect_leaves_with_75({}, {}, [](Process& p) { p.signal(SIGTERM); });
}

TEST(Interruption, two_signals_are_answered_like_one) {
    expect_leaves_with_75({.threads = 2}, {}, [](Process& p) {
        p.signal(SIGUSR1);
        p.signal(SIGTERM);
    });
}

TEST(Interruption, the_own_clock_is_watched) {
    expect_leaves_with_75({}, {"--max-wall", "5"}, [](Process&) {});
}

TEST(Interruption, frozen_for_a_while_and_woken) {
    expect_leaves_with_75({}, {}, [](Process& p) {
        p.signal(SIGSTOP);
        std::this_thread::sleep_for(1s);
        p.signal(SIGCONT);
        p.signal(SIGUSR2);
    });
}

TEST_F(InterruptionRanks, a_signal_to_one_rank_stops_all_at_one_step) {
    expect_leaves_with_75({.ranks = 2, .dedicated = true}, {}, [](Process& p) {
        const std::vector<pid_t> ranks = p.children();
        ASSERT_EQ(ranks.size(), 3U);
        ::kill(ranks[1], SIGTERM); // the second worker
    });
}

TEST_F(InterruptionRanks, a_signal_to_the_launcher_stops_all_at_one_step) {
    expect_leaves_with_75({.ranks = 2}, {}, [](Process& p) { p.signal(SIGUSR1); }); // mpirun hands it on
}

// A device tells what came of a step when the next one has begun, on one rank at the end of it.
TEST(Interruption, a_signal_stops_a_device_where_it_is) {
    expect_leaves_with_75({}, {"--device", "emulation"}, [](Process& p) { p.signal(SIGTERM); });
}

TEST_F(InterruptionRanks, a_signal_to_one_rank_stops_the_devices_of_all) {
    expect_leaves_with_75({.ranks = 2}, {"--device", "emulation"}, [](Process& p) {
        const std::vector<pid_t> ranks = p.children();
        ASSERT_EQ(ranks.size(), 2U);
        ::kill(ranks[1], SIGTERM);
    });
}

// Damage to the newest checkpoint: the one before is taken, said aloud, and the end is the same.
TEST(Interruption, damaged_newest_checkpoint_falls_back) {
    const TemporaryFolder folder;
    const Training training = small("segnn_ace", 60).with({"log.checkpoint_every_steps=10"});
    const Record expected = train(training, folder.file("whole"));
    for (const double part : {0.0, 0.5, 0.999, 1.0}) {
        const std::string runs = folder.file(fmt::format("runs{}", part));
        ASSERT_EQ(train(training, runs, {}, {"--stop-after", "45"}).steps, 45);
        const std::string newest = only_run(runs) + fmt::format("/checkpoint/step-{:012}.ckpt", 45);
        const auto size = static_cast<double>(fs::file_size(newest));
        if (part < 1) {
            fs::resize_file(newest, static_cast<std::uintmax_t>(part * size));
        } else { // one bit
            std::FILE* file = std::fopen(newest.c_str(), "r+b");
            ASSERT_NE(file, nullptr);
            std::fseek(file, static_cast<long>(size / 2), SEEK_SET);
            const int byte = std::fgetc(file);
            std::fseek(file, static_cast<long>(size / 2), SEEK_SET);
            std::fputc(byte ^ 4, file);
            std::fclose(file);
        }
        const Outcome outcome = Process(training.command(runs), folder.path()).wait();
        EXPECT_EQ(outcome.code, 0) << outcome.err;
        EXPECT_NE(outcome.err.find("warning"), std::string::npos) << outcome.err;
        EXPECT_NE(outcome.err.find("step-000000000045.ckpt"), std::string::npos) << outcome.err;
        EXPECT_EQ(difference(read_record(only_run(runs)), expected), "") << part;
    }
}

// Without its run file a run goes on from the checkpoint; the rows before are lost, the state is not.
TEST(Interruption, lost_run_file_keeps_the_state) {
    const TemporaryFolder folder;
    const Training training = small("egnn_ace", 40);
    const Record expected = train(training, folder.file("whole"));
    const std::string runs = folder.file("runs");
    ASSERT_EQ(train(training, runs, {}, {"--stop-after", "20"}).steps, 20);
    fs::resize_file(only_run(runs) + "/run.h5", 1000);
    const Outcome outcome = Process(training.command(runs), folder.path()).wait();
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_NE(outcome.err.find("run.h5"), std::string::npos) << outcome.err;
    const Record found = read_record(only_run(runs));
    EXPECT_EQ(found.state_sha256, expected.state_sha256);
    EXPECT_EQ(found.status, "complete");
}

} // namespace
} // namespace tether::test
