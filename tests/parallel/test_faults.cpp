// Whole jobs under mpirun that go wrong in every way operations.md lists for this folder: they must
// end in bounded time, with the promised exit code and a message that names the rank. A job is this
// test program again, with one `Scenario` test; what it does to itself is in run_scenario().
#include "src/parallel/launch.hpp"
#include "tests/parallel/world.hpp"
#include "tests/support/reference.hpp"
#include "tether/core/error.hpp"
#include "tether/parallel/watchdog.hpp"

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <thread>

namespace tether::parallel {
namespace {

using namespace std::chrono_literals;
using test::world;

void run_scenario(const std::string& name) {
    Communicator& w = world();
    const bool culprit = w.rank() == 1;
    WatchdogOptions options;
    options.limit = name == "stopped" ? 60s : 2s;
    options.grace = name == "stopped" ? 5s : 1s;
    options.mention_after = name == "stopped" ? 0.01 : 0.5;
    options.detail = [&w] { return w.waiting_for(); };
    Watchdog watchdog(options);
    watchdog.set_rank(w.rank());
    std::vector<float> values(1000);
    for (Index step = 0; step < 8; ++step) {
        w.set_step(step);
        watchdog.phase("forward", step);
        if (culprit && step == 3) {
            if (name == "hang") {
                std::this_thread::sleep_for(1h);
            } else if (name == "skip") {
                continue;
            } else if (name == "stop") {
                return;
            } else if (name == "throw") {
                fail(ExitCode::storage, "the disk of rank 1 is full");
            } else if (name == "exit") {
                ::_exit(7);
            } else if (name == "kill") {
                ::raise(SIGKILL);
            } else if (name == "stopped") {
                const std::string wake = fmt::format("(sleep 3; kill -CONT {}) &", ::getpid());
                ASSERT_EQ(std::system(wake.c_str()), 0);
                ::raise(SIGSTOP);
            }
        }
        std::iota(values.begin(), values.end(), static_cast<float>(step));
        watchdog.phase("reduce", step);
        w.all_reduce_tree(std::span<float>(values));
        ASSERT_EQ(values[10], static_cast<float>(w.size()) * (10.0F + static_cast<float>(step)));
    }
    watchdog.phase("end", 8);
    w.barrier();
}

TEST(Scenario, of_the_environment) {
    const char* name = std::getenv("TETHER_SCENARIO");
    if (name == nullptr) {
        GTEST_SKIP() << "started by the tests below";
    }
    guarded(world(), [&] { run_scenario(name); });
}

struct Outcome {
    int code = -1;
    std::string text;
    double seconds = 0;
};

Outcome run(const std::string& command) {
    Outcome outcome;
    const auto start = std::chrono::steady_clock::now();
    std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
    if (pipe == nullptr) {
        return outcome;
    }
    std::array<char, 4096> buffer{};
    for (std::size_t n = 0; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
        outcome.text.append(buffer.data(), n);
    }
    const int status = ::pclose(pipe);
    outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return outcome;
}

class Faults : public testing::Test {
protected:
    void SetUp() override {
#ifndef TETHER_WITH_MPI
        GTEST_SKIP() << "a build without MPI";
#endif
        if (read_launch().by_launcher || std::getenv("TETHER_SCENARIO") != nullptr) {
            GTEST_SKIP() << "jobs are not started from within a job";
        }
        if (run("command -v mpirun").code != 0) {
            GTEST_SKIP() << "mpirun is not installed";
        }
    }
    static Outcome job(const std::string& scenario, int ranks, const std::string& settings = "") {
        const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
        return run(fmt::format("OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
                               "ASAN_OPTIONS=detect_leaks=0 TETHER_SCENARIO={} {} " // MPI's own leaks

                               "timeout 120 mpirun --oversubscribe --bind-to none -np {} '{}' "
                               "--gtest_filter=Scenario.* --gtest_color=no",
                               scenario, settings, ranks, self));
    }
    static void expect_in(const Outcome& outcome, std::initializer_list<const char*> parts) {
        for (const char* part : parts) {
            EXPECT_NE(outcome.text.find(part), std::string::npos) << part << " is missing in:\n"
                                                                  << outcome.text;
        }
    }
};

TEST_F(Faults, a_job_without_faults_ends_well) {
    for (const char* settings : {"", "TETHER_RANKS_PER_NODE=1"}) {
        const Outcome outcome = job("none", 2, settings);
        EXPECT_EQ(outcome.code, 0) << outcome.text;
    }
}

TEST_F(Faults, a_rank_that_hangs_before_a_collective_is_named_and_ends_the_job) {
    const Outcome outcome = job("hang", 4);
    EXPECT_EQ(outcome.code, 13) << outcome.text;
    expect_in(outcome, {"rank 1 on ", "phase 'forward' of step 3", "phase 'reduce' of step 3",
                        "all_reduce_tree", "not yet there: rank 1", "giving up, exit 13"});
    EXPECT_LT(outcome.seconds, 60);
}

TEST_F(Faults, a_skipped_collective_is_a_mismatch_not_a_hang) {
    for (const char* settings : {"", "TETHER_RANKS_PER_NODE=1", "TETHER_RANKS_PER_NODE=2"}) {
        const Outcome outcome = job("skip", 4, settings);
        EXPECT_EQ(outcome.code, 13) << outcome.text;
        expect_in(outcome, {"ranks do not call the same collective", "rank 1 is at", "step 4", "step 3"});
    }
}

TEST_F(Faults, a_rank_that_stops_early_is_named) {
    const Outcome outcome = job("stop", 2);
    EXPECT_EQ(outcome.code, 13) << outcome.text;
    expect_in(outcome, {"rank 1 is at collective 4: the end of its work", "all_reduce_tree"});
}

TEST_F(Faults, an_error_of_one_rank_ends_the_job_with_its_code) {
    const Outcome outcome = job("throw", 4);
    EXPECT_EQ(outcome.code, 14) << outcome.text;
    expect_in(outcome, {"the disk of rank 1 is full"});
}

TEST_F(Faults, a_rank_that_dies_ends_the_job) {
    EXPECT_EQ(job("exit", 4).code, 7);
    EXPECT_EQ(job("kill", 4).code, 137);
}

TEST_F(Faults, a_rank_stopped_for_a_while_is_mentioned_and_survives) {
    const Outcome outcome = job("stopped", 2);
    EXPECT_EQ(outcome.code, 0) << outcome.text;
    expect_in(outcome, {"straggling", "not yet there: rank 1"});
    EXPECT_GT(outcome.seconds, 3);
}

TEST(Launch, a_bare_start_inside_a_slurm_job_is_told) {
    Launch slurm;
    slurm.slurm_tasks = 4;
    try {
        check_world(slurm, 1);
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::usage);
        EXPECT_NE(std::string(error.what()).find("srun --mpi=pmix"), std::string::npos) << error.what();
        EXPECT_NE(std::string(error.what()).find("4 tasks"), std::string::npos) << error.what();
    }
    check_world(slurm, 4);
    slurm.launched = 2; // mpirun -np 2 within a job of 4 tasks: meant so
    check_world(slurm, 2);
    EXPECT_THROW(check_world(slurm, 1), Error);
    check_world({}, 1);
    if (!read_launch().by_launcher) {
        ASSERT_EQ(::setenv("SLURM_NTASKS", "3", 1), 0);
        EXPECT_THROW((void)make_communicator(), Error);
        ASSERT_EQ(::setenv("SLURM_NTASKS", "three", 1), 0);
        EXPECT_THROW((void)make_communicator(), Error);
        ASSERT_EQ(::setenv("SLURM_NTASKS", "1", 1), 0);
        EXPECT_EQ(make_communicator()->size(), 1);
        ASSERT_EQ(::unsetenv("SLURM_NTASKS"), 0);
    }
}

} // namespace
} // namespace tether::parallel
