// A sweep worked through by the program itself: killed at random, started twice, told to stop, with runs
// that fail. Nothing is lost, nothing is run twice, and every run ends as one that was left alone.
#include "tests/support/reference.hpp"
#include "tests/train/training.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

namespace tether::test {
namespace {
namespace fs = std::filesystem;
using namespace std::chrono_literals;

class SmallSweep {
public:
    explicit SmallSweep(Index steps, const std::string& axes = "[grid]\nmethod.name = [\"strict\", \"ace\"]\n"
                                                               "seed = [1, 2, 3]\n") {
        std::ofstream file(folder.file("sweep.toml"));
        file << "name = \"s\"\nbase = \"" TETHER_SOURCE_DIR "/jobs/nbody/segnn_ace.toml\"\n[set]\n";
        for (const std::string& key : small("segnn_ace", steps).keys) {
            const auto equals = key.find('=');
            const bool text = key.starts_with("model.hidden");
            file << key.substr(0, equals) << " = " << (text ? "\"" : "") << key.substr(equals + 1)
                 << (text ? "\"" : "") << "\n";
        }
        file << "log.checkpoint_every_steps = 25\n" << axes;
        file.close();
        const Outcome planned =
            tether({"sweep", "plan", folder.file("sweep.toml"), "--out", place(), "--bench-steps", "0"},
                   folder.path());
        EXPECT_EQ(planned.code, 0) << planned.err;
        EXPECT_EQ(planned.last_line(), "sweep " + place());
    }
    [[nodiscard]] std::string place() const { return folder.file("sweep"); }
    [[nodiscard]] std::vector<std::string> command(const std::vector<std::string>& flags = {"--at-once",
                                                                                            "2"}) const {
        std::vector<std::string> out{program(), "sweep", "run", place()};
        out.insert(out.end(), flags.begin(), flags.end());
        return out;
    }
    [[nodiscard]] Outcome run() const { return Process(command(), folder.path()).wait(); }
    [[nodiscard]] nlohmann::json status() const {
        const Outcome outcome = tether({"sweep", "status", place(), "--json"}, folder.path());
        EXPECT_EQ(outcome.code, 0) << outcome.err;
        return nlohmann::json::parse(outcome.out);
    }
    [[nodiscard]] nlohmann::json runs() const {
        nlohmann::json all = status()["runs"];
        EXPECT_FALSE(all.empty());
        return all;
    }
    // Every run as the same job trained alone, and nothing else in the folders.
    void expect_all_as_alone() const {
        const auto now = status();
        EXPECT_EQ(now["counts"]["complete"], now["runs"].size()) << now.dump(1);
        for (const auto& run : now["runs"]) {
            const std::string path = run["folder"];
            const std::string alone = folder.file("alone-" + run["id"].get<std::string>());
            fs::create_directories(alone);
            const Outcome outcome =
                tether({"train", path + "/job.toml", "--runs", alone, "--threads", "1"}, folder.path());
            ASSERT_EQ(outcome.code, 0) << outcome.err;
            EXPECT_EQ(difference(read_record(path), read_record(outcome.folder())), "") << path;
            EXPECT_EQ(leftovers(path), std::vector<std::string>{});
        }
        int folders = 0;
        for (const auto& item : fs::directory_iterator(place() + "/runs")) {
            folders += item.is_directory() ? 1 : 0;
        }
        EXPECT_EQ(folders, static_cast<int>(now["runs"].size()));
    }

    TemporaryFolder folder;
};

TEST(SweepRun, to_the_end_and_a_second_call_does_nothing) {
    const SmallSweep sweep(40);
    const Outcome first = sweep.run();
    ASSERT_EQ(first.code, 0) << first.err;
    EXPECT_EQ(first.out, "6 runs: 6 complete\n");
    sweep.expect_all_as_alone();
    const Outcome second = sweep.run();
    EXPECT_EQ(second.code, 0);
    EXPECT_EQ(second.err.find("begins"), std::string::npos) << second.err;
    for (const auto& run : sweep.runs()) {
        EXPECT_EQ(run["attempts"], 1);
    }
}

// SIGKILL of the executor alone: its trainings must not be lost, nor run on unnoticed.
TEST(SweepRun, killed_at_random_moments) {
    const SmallSweep sweep(160);
    std::mt19937 random(5);
    for (int kills = 0; kills < 8; ++kills) {
        Process process(sweep.command(), sweep.folder.path());
        std::this_thread::sleep_for(std::chrono::milliseconds(random() % 600));
        process.signal(SIGKILL);
        EXPECT_NE(process.wait().code, 124);
    }
    const Outcome last = sweep.run();
    ASSERT_EQ(last.code, 0) << last.err;
    sweep.expect_all_as_alone();
    for (const auto& run : sweep.runs()) {
        EXPECT_EQ(run["failures"], 0) << run.dump(1);
    }
}

TEST(SweepRun, started_three_times_at_once_shares_the_work) {
    const SmallSweep sweep(120);
    Process a(sweep.command(), sweep.folder.path());
    Process b(sweep.command(), sweep.folder.path());
    Process c(sweep.command(), sweep.folder.path());
    for (Process* process : {&a, &b, &c}) {
        const Outcome outcome = process->wait();
        EXPECT_EQ(outcome.code, 0) << outcome.err;
    }
    for (const auto& run : sweep.runs()) {
        EXPECT_EQ(run["attempts"], 1) << run.dump(1);
    }
    sweep.expect_all_as_alone();
}

TEST(SweepRun, told_to_stop_says_75_and_goes_on) {
    const SmallSweep sweep(240);
    Process process(sweep.command(), sweep.folder.path());
    std::this_thread::sleep_for(700ms);
    process.signal(SIGTERM);
    const Outcome stopped = process.wait(60s);
    EXPECT_EQ(stopped.code, 75) << stopped.err;
    const auto now = sweep.status();
    EXPECT_EQ(now["counts"]["running"], 0) << now.dump(1);
    EXPECT_EQ(now["counts"]["failed"], 0) << now.dump(1);
    EXPECT_LT(now["counts"]["complete"], 6) << "nothing was left to stop";
    const Outcome last = sweep.run();
    ASSERT_EQ(last.code, 0) << last.err;
    sweep.expect_all_as_alone();
}

// One run diverges, the others are trained all the same; retry tries again, and only that one.
TEST(SweepRun, a_failing_run_is_told_and_holds_up_nobody) {
    const SmallSweep sweep(40, "[grid]\nprimal.lr = [1e-3, 1e6, 2e-3]\n");
    const Outcome outcome = sweep.run();
    EXPECT_EQ(outcome.code, 12) << outcome.err;
    EXPECT_EQ(outcome.out, "3 runs: 2 complete, 1 failed\n");
    EXPECT_NE(outcome.err.find("s-lr1000000.0"), std::string::npos) << outcome.err;
    auto now = sweep.status();
    EXPECT_EQ(now["runs"][1]["state"], "failed");
    EXPECT_EQ(now["runs"][1]["attempts"], 1);
    EXPECT_EQ(now["runs"][1]["exit_code"], 12);
    EXPECT_NE(now["runs"][1]["message"].get<std::string>().find("primal.lr"), std::string::npos)
        << now.dump(1);
    EXPECT_EQ(sweep.run().code, 12); // still failed, not tried again
    EXPECT_EQ(sweep.status()["runs"][1]["attempts"], 1);
    const Outcome retried = tether({"sweep", "retry", sweep.place()}, sweep.folder.path());
    EXPECT_EQ(retried.code, 0) << retried.err;
    EXPECT_EQ(retried.out.rfind("1 runs", 0), 0U) << retried.out;
    EXPECT_EQ(sweep.status()["counts"]["failed"], 0);
    EXPECT_EQ(sweep.run().code, 12);
    now = sweep.status();
    EXPECT_EQ(now["runs"][0]["attempts"], 1);
    EXPECT_EQ(now["runs"][1]["attempts"], 2);
}

TEST(SweepRun, changed_files_and_wrong_folders_are_refused) {
    const SmallSweep sweep(10);
    std::ofstream(sweep.folder.file("sweep.toml"), std::ios::app) << "\n";
    const Outcome changed = sweep.run();
    EXPECT_EQ(changed.code, 2);
    EXPECT_NE(changed.err.find("sweep.toml"), std::string::npos) << changed.err;
    EXPECT_EQ(sweep.status()["counts"]["waiting"], 6);
    const Outcome file = tether({"sweep", "run", sweep.folder.file("sweep.toml")}, sweep.folder.path());
    EXPECT_EQ(file.code, 2);
    EXPECT_NE(file.err.find("sweep plan"), std::string::npos) << file.err;
    const Outcome none = tether({"sweep", "status", "/no/such/sweep"}, sweep.folder.path());
    EXPECT_EQ(none.code, 2);
    EXPECT_NE(none.err.find("/no/such/sweep"), std::string::npos);
    const Outcome word = tether({"sweep", "submti"}, sweep.folder.path());
    EXPECT_EQ(word.code, 2);
    EXPECT_EQ(word.err.rfind("error: ", 0), 0U) << word.err;
}

TEST(SweepRun, cancel_stops_the_executor_of_this_machine) {
    const SmallSweep sweep(1'000'000);
    Process process(sweep.command(), sweep.folder.path());
    while (sweep.status()["counts"]["running"] < 2) {
        ASSERT_TRUE(process.running()) << process.wait().err;
        std::this_thread::sleep_for(20ms);
    }
    const Outcome cancelled = tether({"sweep", "cancel", sweep.place()}, sweep.folder.path());
    EXPECT_EQ(cancelled.code, 0) << cancelled.err;
    EXPECT_EQ(cancelled.out, "cancelled 0 jobs of Slurm, stopped 1 on this machine\n");
    EXPECT_EQ(process.wait(60s).code, 75);
    const auto now = sweep.status();
    EXPECT_EQ(now["counts"]["running"], 0);
    EXPECT_EQ(now["counts"]["failed"], 0) << now.dump(1);
    const Outcome none = tether({"sweep", "cancel", sweep.place()}, sweep.folder.path());
    EXPECT_EQ(none.out, "cancelled 0 jobs of Slurm, stopped 0 on this machine\n");
}

class SweepRunRanks : public testing::Test {
    void SetUp() override {
        if (!mpi_available()) {
            GTEST_SKIP() << "built without MPI";
        }
    }
};

TEST_F(SweepRunRanks, trainings_of_two_ranks_killed_once) {
    const SmallSweep sweep(200, "[grid]\nseed = [1, 2]\n");
    std::string launcher;
    for (const std::string& word : on_ranks(2, {})) {
        launcher += word == program() ? "" : word + " ";
    }
    const auto command = sweep.command({"--at-once", "1", "--launcher", launcher});
    Process process(command, sweep.folder.path());
    std::this_thread::sleep_for(1500ms);
    process.signal(SIGKILL);
    EXPECT_NE(process.wait().code, 124);
    const Outcome last = Process(command, sweep.folder.path()).wait();
    ASSERT_EQ(last.code, 0) << last.err;
    sweep.expect_all_as_alone();
}

} // namespace
} // namespace tether::test
