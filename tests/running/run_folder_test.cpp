// Run folders: found again by the job alone, `never` beside, finished ones recognised, killed ones
// told from running ones; what provenance says of this machine.
#include "tests/running/run_file_support.hpp"
#include "tests/support/reference.hpp"
#include "tether/core/error.hpp"
#include "tether/run/checkpoint_folder.hpp"
#include "tether/run/provenance.hpp"
#include "tether/run/run_status.hpp"
#include "tether/run/run_storage.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sys/wait.h>
#include <unistd.h>

namespace tether::test {
namespace {
using namespace tether::run;
namespace fs = std::filesystem;

const std::string hash = "0123456789abcdef0123";

TEST(RunFolder, is_found_by_the_job) {
    const TemporaryFolder runs;
    const auto find = [&](Resume resume) {
        return RunFolder::find(runs.path(), "segnn ace/1", hash, resume);
    };
    const std::string base = runs.file("segnn_ace_1-0123456789ab");
    {
        RunFolder first = find(Resume::automatic);
        EXPECT_EQ(first.path(), base);
        EXPECT_FALSE(first.exists());
        first.open("name = \"x\"\n");
        EXPECT_EQ(read_text(first.job_file()), "name = \"x\"\n");
        EXPECT_FALSE(first.complete());
        EXPECT_THROW(find(Resume::automatic).open(""), Error); // we hold the lease
    }
    EXPECT_TRUE(find(Resume::automatic).exists());
    EXPECT_THROW(static_cast<void>(find(Resume::require)), Error); // no checkpoint yet
    RunFolder beside = find(Resume::never);
    EXPECT_EQ(beside.path(), base + "-2");
    EXPECT_FALSE(beside.exists());
    beside.open("");
    EXPECT_EQ(find(Resume::never).path(), base + "-3");
    EXPECT_EQ(find(Resume::automatic).path(), base + "-2");
    CheckpointFolder(beside.checkpoints()).publish(Checkpoint{}.encode(), CheckpointKind::last, 1);
    EXPECT_EQ(find(Resume::require).path(), base + "-2");
    EXPECT_EQ(resume_of("auto"), Resume::automatic);
    EXPECT_THROW(static_cast<void>(resume_of("allways")), Error);
}

TEST(RunFolder, opening_clears_what_killed_writers_left) {
    const TemporaryFolder runs;
    RunFolder folder = RunFolder::find(runs.path(), "a", hash, Resume::automatic);
    fs::create_directories(folder.checkpoints());
    for (const std::string& file :
         {folder.run_file(), folder.job_file(), folder.checkpoints() + "/step-1.ckpt"}) {
        std::ofstream(file + ".part") << "half";
    }
    folder.open("x = 1\n");
    for (const auto& item : fs::recursive_directory_iterator(folder.path())) {
        EXPECT_NE(item.path().extension(), ".part");
    }
}

TEST(RunFolder, tidying_clears_a_complete_run_and_leaves_a_clean_one_alone) {
    const TemporaryFolder runs;
    RunFolder folder = RunFolder::find(runs.path(), "a", hash, Resume::automatic);
    folder.open("name = \"a\"\n");
    folder = RunFolder::find(runs.path(), "a", hash, Resume::automatic); // gives the lease back
    const auto before = fs::last_write_time(folder.path());
    folder.tidy();
    EXPECT_EQ(fs::last_write_time(folder.path()), before);
    std::ofstream(folder.run_file() + ".part") << "half";
    folder.tidy();
    EXPECT_FALSE(fs::exists(folder.run_file() + ".part"));
    EXPECT_FALSE(fs::exists(folder.path() + "/lease"));
    {
        const Lease somebody(folder.path());
        std::ofstream(folder.run_file() + ".part") << "half";
        folder.tidy();
        EXPECT_TRUE(fs::exists(folder.run_file() + ".part")); // of the one at work
    }
}

TEST(RunFolder, condition_is_the_truth_after_a_kill) {
    const TemporaryFolder runs;
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const std::string path = RunFolder::find(runs.path(), "a", hash, Resume::automatic).path();
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        RunFolder folder = RunFolder::find(runs.path(), "a", hash, Resume::automatic);
        folder.open("");
        RunFileWriter writer = RunFileWriter::create(folder.run_file(), small_description());
        for (Index step = 1; step <= 250; ++step) {
            append_all(writer, step);
        }
        writer.commit();
        [[maybe_unused]] const auto done = write(ends[1], "x", 1);
        pause();
    }
    char ready = 0;
    ASSERT_EQ(read(ends[0], &ready, 1), 1);
    RunReport report = inspect_run(path);
    EXPECT_EQ(report.condition, RunCondition::running);
    EXPECT_NE(report.holder.find(std::to_string(child)), std::string::npos);
    EXPECT_EQ(report.step, 250);
    EXPECT_DOUBLE_EQ(report.steps_per_s, 1); // wall_s grows by one a step
    EXPECT_DOUBLE_EQ(report.eta_s, 750);
    EXPECT_EQ(report.loss, value(250, 2));
    EXPECT_EQ(report.projected, value(250, 1));
    EXPECT_EQ(report.gamma_low, value(250, 1));
    EXPECT_EQ(report.lambda_high, value(250, 6));
    EXPECT_EQ(report.metric, "position_mse [m^2]");
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    report = inspect_run(path);
    EXPECT_EQ(report.condition, RunCondition::killed);
    EXPECT_TRUE(report.holder.empty());
    EXPECT_TRUE(std::isnan(report.eta_s));

    RunFolder folder = RunFolder::find(runs.path(), "a", hash, Resume::automatic);
    EXPECT_FALSE(folder.complete());
    RunFileWriter::resume(folder.run_file(), small_description(), 250).finish(RunStatus::complete);
    EXPECT_TRUE(folder.complete());
    EXPECT_EQ(inspect_run(path).condition, RunCondition::complete);
    close(ends[0]);
    close(ends[1]);
}

TEST(RunFolder, runs_are_found_below_a_folder) {
    const TemporaryFolder runs;
    for (const std::string name : {"b", "a", "sweep/runs/c"}) {
        fs::create_directories(runs.file(name));
        std::ofstream(runs.file(name) + "/job.toml") << "";
    }
    EXPECT_EQ(find_runs(runs.path()),
              (std::vector<std::string>{runs.file("a"), runs.file("b"), runs.file("sweep/runs/c")}));
    EXPECT_EQ(find_runs(runs.file("a") + "/"), std::vector<std::string>{runs.file("a")});
    EXPECT_EQ(find_runs(runs.file("a/run.h5")), std::vector<std::string>{runs.file("a")});
    EXPECT_TRUE(find_runs(runs.file("nothing")).empty());
    EXPECT_EQ(inspect_run(runs.file("a")).condition, RunCondition::waiting);
    fs::create_directories(runs.file("a/checkpoint")); // it had begun: its run file is lost
    EXPECT_EQ(inspect_run(runs.file("a")).condition, RunCondition::unreadable);
}

TEST(Provenance, says_what_built_and_runs_this) {
    const Provenance from = provenance();
    EXPECT_FALSE(from.tether_version.empty());
    EXPECT_FALSE(from.git_commit.empty());
    EXPECT_NE(from.libraries.find("HDF5 1."), std::string::npos) << from.libraries;
    EXPECT_NE(from.instruction_set.find(compiled_instruction_set()), std::string::npos);
    EXPECT_EQ(from.started.size(), 20U);
    EXPECT_EQ(from.host, host_name());
    Provenance dirty;
    dirty.git_commit = "abc";
    EXPECT_EQ(commit_text(dirty), "abc");
    dirty.git_dirty = true;
    EXPECT_EQ(commit_text(dirty), "abc-dirty");
    // We run, so nothing is missing; what is used cannot be more than what is there.
    EXPECT_EQ(missing_instruction_set(), nullptr);
    require_instruction_set();
    const std::vector<std::string> order{"scalar", "neon", "sse2", "avx", "avx2", "avx512"};
    EXPECT_LE(std::ranges::find(order, compiled_instruction_set()),
              std::ranges::find(order, machine_instruction_set()));
}

} // namespace
} // namespace tether::test
