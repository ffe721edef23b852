// The team runs everybody, keeps its barrier, hands out errors and survives more threads than cores.
#include "tether/core/error.hpp"
#include "tether/parallel/thread_team.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

namespace tether::parallel {
namespace {

class ThreadTeams : public testing::TestWithParam<int> {};

TEST_P(ThreadTeams, every_thread_runs_once_per_run) {
    ThreadTeam team(GetParam());
    EXPECT_EQ(team.size(), GetParam());
    std::vector<int> runs(static_cast<std::size_t>(team.size()));
    for (int round = 0; round < 500; ++round) {
        team.run([&](int thread) { ++runs[static_cast<std::size_t>(thread)]; });
    }
    EXPECT_EQ(runs, std::vector<int>(runs.size(), 500));
}

TEST_P(ThreadTeams, barrier_separates_writing_from_reading) {
    ThreadTeam team(GetParam());
    const auto size = static_cast<std::size_t>(team.size());
    std::vector<int> values(size, 0);
    std::atomic<int> wrong{0};
    team.run([&](int thread) {
        const auto self = static_cast<std::size_t>(thread);
        for (int round = 1; round <= 200; ++round) {
            values[self] = round;
            team.barrier();
            for (const int value : values) {
                wrong += value != round ? 1 : 0;
            }
            team.barrier();
        }
    });
    EXPECT_EQ(wrong, 0);
}

TEST_P(ThreadTeams, an_error_of_any_thread_reaches_the_caller) {
    ThreadTeam team(GetParam());
    for (int culprit = 0; culprit < team.size(); ++culprit) {
        try {
            team.run([&](int thread) {
                if (thread == culprit) {
                    fail(ExitCode::numbers, "thread {} gave up", thread);
                }
                team.barrier(); // would wait for the culprit for ever
                team.barrier();
            });
            FAIL() << "no error";
        } catch (const Error& error) {
            EXPECT_EQ(error.what(), fmt::format("thread {} gave up", culprit));
        }
        std::atomic<int> count{0};
        team.run([&](int) {
            team.barrier();
            ++count;
            team.barrier();
        });
        EXPECT_EQ(count, team.size()); // the team goes on
    }
    try {
        team.run([](int thread) { throw std::runtime_error(std::to_string(thread)); });
        FAIL() << "no error";
    } catch (const std::runtime_error& error) {
        EXPECT_STREQ(error.what(), "0"); // all threw: the lowest is reported
    }
}

INSTANTIATE_TEST_SUITE_P(sizes, ThreadTeams, testing::Values(1, 2, 3, 8));

TEST(ThreadTeam, refuses_runs_inside_runs_and_no_threads) {
    EXPECT_THROW(ThreadTeam(0), Error);
    ThreadTeam team(1);
    EXPECT_THROW(team.run([&](int) { team.run([](int) {}); }), Error);
    EXPECT_GE(cores_available(), 1);
}

TEST(ThreadTeam, pinned_threads_run_as_well) {
    std::vector<int> cores(2, 0);
    std::thread([&] { // pinning stays with the calling thread: not the one of the tests
        ThreadTeam team(2, true);
        team.run([&](int thread) { cores[static_cast<std::size_t>(thread)] = cores_available(); });
    })
        .join();
    EXPECT_EQ(cores, std::vector<int>(2, 1));
}

} // namespace
} // namespace tether::parallel
