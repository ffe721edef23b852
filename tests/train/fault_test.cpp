// The faults of one rank, struck by TETHER_FAULT, and those of the surroundings: the job ends in limited
// time with the promised exit code, names what happened, and the same command without the fault ends
// with the state and rows of a training that never met it.
#include "tests/support/reference.hpp"
#include "tests/train/training.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>
#include <unistd.h>

namespace tether::test {
namespace {
namespace fs = std::filesystem;
using namespace std::chrono_literals;

struct Fault {
    std::string kind;
    int rank = 1;
    std::vector<int> codes; // one of these
    std::vector<std::string> said;
};
std::ostream& operator<<(std::ostream& to, const Fault& fault) { return to << fault.kind; }

Outcome run_with(const std::vector<std::string>& environment, const std::vector<std::string>& command,
                 const std::string& folder, std::chrono::seconds limit = 120s) {
    std::vector<std::string> words{"env"};
    words.insert(words.end(), environment.begin(), environment.end());
    words.insert(words.end(), command.begin(), command.end());
    return Process(words, folder).wait(limit);
}

class FaultRanks : public testing::TestWithParam<Fault> {
    void SetUp() override {
        if (!mpi_available()) {
            GTEST_SKIP() << "built without MPI";
        }
    }
};

// Struck at step 25 of 60, with checkpoints at 10 and 20; evaluations at 20 and 40.
TEST_P(FaultRanks, ends_the_job_and_is_gone_with_the_same_command) {
    const Fault& fault = GetParam();
    const TemporaryFolder folder;
    const Training training = small("segnn_ace", 60).with({"log.checkpoint_every_steps=20"});
    const Place place{.ranks = 2};
    const std::string runs = folder.file("runs");
    fs::create_directories(runs);
    std::vector<std::string> environment{fmt::format("TETHER_FAULT={}:{}:25", fault.kind, fault.rank)};
    if (fault.kind == "flip") { // ranks of one node have their parameters in common and cannot differ
        environment.emplace_back("TETHER_RANKS_PER_NODE=1");
    }
    const Outcome outcome =
        run_with(environment, training.command(runs, place, {"--watchdog", "4"}), folder.path());
    EXPECT_TRUE(std::ranges::find(fault.codes, outcome.code) != fault.codes.end())
        << "exit code " << outcome.code << "\n"
        << outcome.err;
    for (const std::string& words : fault.said) {
        EXPECT_NE(outcome.err.find(words), std::string::npos)
            << "'" << words << "' is not in: " << outcome.err;
    }
    ASSERT_NE(only_run(runs), "");
    EXPECT_EQ(newest_checkpoint(only_run(runs)), 20);
    const Record expected = train(training, folder.file("whole"));
    EXPECT_EQ(difference(train(training, runs, place), expected), "");
}

INSTANTIATE_TEST_SUITE_P(
    Faults, FaultRanks,
    testing::Values(Fault{"kill", 1, {137}, {"signal 9"}}, Fault{"segv", 1, {139}, {"signal 11"}},
                    Fault{"abort", 1, {134}, {"signal 6"}}, Fault{"exit", 1, {7}, {}},
                    Fault{"throw", 1, {1, 12, 13}, {"thrown by TETHER_FAULT", "rank 1"}},
                    Fault{"hang", 1, {13}, {"rank 1", "step 25"}}, Fault{"hang", 0, {13}, {"step 25"}},
                    Fault{"nan", 1, {12}, {"step 25", "finite"}},
                    Fault{"inf", 1, {12}, {"step 25", "finite"}},
                    Fault{"huge", 1, {12}, {"step 25", "finite"}},
                    Fault{"flip", 1, {12}, {"step 4", "rank 1", "differ"}}),
    [](const auto& tested) { return tested.param.kind + std::to_string(tested.param.rank); });

TEST(FaultText, that_is_none_is_refused) {
    const TemporaryFolder folder;
    for (const std::string text : {"klil:0:3", "kill:0", "kill:x:3", "kill:0:-1"}) {
        const Outcome outcome = run_with({"TETHER_FAULT=" + text},
                                         small("segnn_ace", 5).command(folder.file("runs")), folder.path());
        EXPECT_EQ(outcome.code, 2) << text << "\n" << outcome.err;
        EXPECT_NE(outcome.err.find("TETHER_FAULT=" + text), std::string::npos) << outcome.err;
    }
}

// Told to stop, and killed before the checkpoint can be written: the one before stands.
TEST(Fault, term_and_then_kill_at_once) {
    const TemporaryFolder folder;
    const Training training = small("segnn_ace", 400).with({"log.checkpoint_every_steps=20"});
    const std::string runs = folder.file("runs");
    fs::create_directories(runs);
    for (int round = 0; round < 6; ++round) {
        Process process(training.command(runs), folder.path());
        const Index before = only_run(runs).empty() ? 0 : newest_checkpoint(only_run(runs));
        while (process.running() && (only_run(runs).empty() || newest_checkpoint(only_run(runs)) <= before)) {
            std::this_thread::sleep_for(1ms);
        }
        process.signal(SIGTERM);
        std::this_thread::sleep_for(std::chrono::microseconds(300 * round));
        process.signal(SIGKILL);
        (void)process.wait();
    }
    EXPECT_EQ(difference(train(training, runs), train(training, folder.file("whole"))), "");
}

// While it starts, before there are handlers, and twice while it saves.
TEST(Fault, signals_at_awkward_moments) {
    const TemporaryFolder folder;
    const Training training = small("segnn_ace", 300).with({"log.checkpoint_every_steps=20"});
    const std::string runs = folder.file("runs");
    fs::create_directories(runs);
    for (const int number : {SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGINT}) {
        for (const int wait_ms : {0, 5, 20, 60}) {
            Process process(training.command(runs), folder.path());
            std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms));
            process.signal(number);
            if (number != SIGINT) { // which, given twice, means at once
                process.signal(number);
            }
            const Outcome outcome = process.wait(60s);
            EXPECT_TRUE(outcome.code == 75 || outcome.code == 0 || outcome.code == 128 + number)
                << number << " after " << wait_ms << " ms: " << outcome.code << "\n"
                << outcome.err;
        }
    }
    EXPECT_EQ(difference(train(training, runs), train(training, folder.file("whole"))), "");
}

// HDF5's own locks switched off, as clusters do: the lease alone keeps the second process out.
TEST(Fault, second_process_without_hdf5_locks) {
    const TemporaryFolder folder;
    const Training training = small("segnn_ace", 1'000'000).with({"log.checkpoint_every_steps=10"});
    const std::string runs = folder.file("runs");
    fs::create_directories(runs);
    std::vector<std::string> command{"env", "HDF5_USE_FILE_LOCKING=FALSE"};
    const std::vector<std::string> own = training.command(runs);
    command.insert(command.end(), own.begin(), own.end());
    Process first(command, folder.path());
    while (only_run(runs).empty() || newest_checkpoint(only_run(runs)) == 0) {
        ASSERT_TRUE(first.running()) << first.wait().err;
        std::this_thread::sleep_for(5ms);
    }
    const Outcome second = Process(command, folder.path()).wait();
    EXPECT_EQ(second.code, 2) << second.err;
    EXPECT_NE(second.err.find("is being written by"), std::string::npos) << second.err;
    first.signal(SIGTERM);
    EXPECT_EQ(first.wait().code, 75);
}

// A folder that vanishes under a running training.
TEST(Fault, run_folder_is_deleted) {
    const TemporaryFolder folder;
    const Training training = small("segnn_ace", 1'000'000).with({"log.checkpoint_every_steps=10"});
    const std::string runs = folder.file("runs");
    fs::create_directories(runs);
    Process process(training.command(runs), folder.path());
    while (only_run(runs).empty() || newest_checkpoint(only_run(runs)) == 0) {
        ASSERT_TRUE(process.running()) << process.wait().err;
        std::this_thread::sleep_for(5ms);
    }
    const std::string run = only_run(runs);
    fs::rename(run, folder.file("gone"));
    const Outcome outcome = process.wait(60s);
    EXPECT_EQ(outcome.code, 14) << outcome.err;
    EXPECT_NE(outcome.err.find(run), std::string::npos) << outcome.err;
}

// Few files, little memory: it works, or says what is missing; it does not crash.
TEST(Fault, limits_of_the_shell) {
    const TemporaryFolder folder;
    const Training training = small("segnn_ace", 20);
    const Record expected = train(training, folder.file("whole"));
    int worked = 0;
    for (const std::string limit : {"-n 12", "-n 20", "-n 32", "-v 60000", "-v 150000", "-v 250000",
                                    "-v 400000", "-v 4000000", "-f 20", "-f 4000"}) {
        const std::string runs = folder.file("runs " + limit);
        fs::create_directories(runs);
        std::vector<std::string> command{"bash", "-c", "ulimit " + limit + " && exec \"$@\"", "-"};
        const std::vector<std::string> own = training.command(runs, {.threads = 2});
        command.insert(command.end(), own.begin(), own.end());
        const Outcome outcome = Process(command, folder.path()).wait(60s);
        if (outcome.code == 0) {
            ++worked;
            EXPECT_EQ(difference(read_record(only_run(runs)), expected), "") << limit;
        } else if (outcome.code != 127) { // 127: the loader itself had no room
            EXPECT_TRUE(outcome.code == 3 || (outcome.code >= 12 && outcome.code <= 14))
                << limit << ": " << outcome.code << "\n"
                << outcome.err;
            EXPECT_NE(outcome.err.find("error: "), std::string::npos) << limit << "\n" << outcome.err;
        }
    }
    EXPECT_GE(worked, 2);
}

// No network but what the machine is to itself, and a name nobody knows: one process works as ever, a
// launched job ends in limited time either way.
TEST(Fault, no_network_and_a_name_nobody_knows) {
    const TemporaryFolder folder;
    const Training training = small("segnn_ace", 20);
    const Record expected = train(training, folder.file("whole"));
    const auto without = [&](const std::vector<std::string>& own) {
        std::vector<std::string> command{"unshare",
                                         "--map-root-user",
                                         "--net",
                                         "--uts",
                                         "bash",
                                         "-c",
                                         "hostname no-such-host && exec \"$@\"",
                                         "-"};
        if (geteuid() == 0) {
            command.erase(command.begin() + 1);
        }
        command.insert(command.end(), own.begin(), own.end());
        return command;
    };
    if (Process(without({"true"}), folder.path()).wait().code != 0) {
        GTEST_SKIP() << "no name spaces here";
    }
    const std::string runs = folder.file("runs");
    fs::create_directories(runs);
    const Outcome one = Process(without(training.command(runs)), folder.path()).wait(60s);
    EXPECT_EQ(one.code, 0) << one.err;
    EXPECT_EQ(difference(read_record(only_run(runs)), expected), "");
    if (mpi_available()) {
        const std::string two = folder.file("two");
        fs::create_directories(two);
        const Outcome outcome =
            Process(without(training.command(two, {.ranks = 2})), folder.path()).wait(60s);
        EXPECT_NE(outcome.code, 124) << "hangs\n" << outcome.err;
        if (outcome.code == 0) {
            EXPECT_EQ(difference(read_record(only_run(two)), expected), "");
        } else {
            EXPECT_FALSE(outcome.err.empty());
        }
    }
}

} // namespace
} // namespace tether::test
