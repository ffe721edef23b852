// Signals set a flag, once and for all; INT twice ends the process. The job's clock stops in time.
#include "tether/core/log.hpp"
#include "tether/run/clock.hpp"
#include "tether/run/signals.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <csignal>
#include <ctime>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

namespace tether::test {
namespace {
using namespace tether::run;

TEST(Signals, ask_to_stop_and_a_second_one_changes_nothing) {
    Signals::install();
    const std::pair<int, const char*> cases[] = {{SIGTERM, "SIGTERM"},
                                                 {SIGUSR1, "SIGUSR1"},
                                                 {SIGUSR2, "SIGUSR2"},
                                                 {SIGHUP, "SIGHUP"},
                                                 {SIGINT, "SIGINT"}};
    for (const auto& [number, name] : cases) {
        Signals::clear();
        EXPECT_FALSE(Signals::stop_requested());
        EXPECT_EQ(Signals::reason(), "");
        ASSERT_EQ(raise(number), 0);
        EXPECT_TRUE(Signals::stop_requested());
        EXPECT_EQ(Signals::reason(), name);
        ASSERT_EQ(raise(SIGTERM), 0);
        EXPECT_EQ(Signals::reason(), name);
    }
    Signals::clear();
}

TEST(Signals, second_interrupt_ends_the_process) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        Signals::install();
        Signals::clear();
        raise(SIGINT);
        if (!Signals::stop_requested()) {
            _exit(1);
        }
        raise(SIGINT);
        _exit(2);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 130);
}

TEST(JobClock, without_a_limit_never_stops) {
    JobClock clock;
    clock.save_took(1e6);
    EXPECT_FALSE(clock.must_stop());
    EXPECT_TRUE(std::isinf(clock.left()));
    EXPECT_FALSE(JobClock(std::nullopt, "").must_stop());
}

TEST(JobClock, margin_grows_with_what_saving_takes) {
    using std::chrono::seconds;
    JobClock clock(100.0, nullptr);
    const auto now = JobClock::Clock::now();
    EXPECT_NEAR(clock.left(now), 100, 1);
    EXPECT_FALSE(clock.must_stop(now + seconds(90)));
    EXPECT_TRUE(clock.must_stop(now + seconds(98)));
    clock.save_took(5);
    clock.save_took(2); // the longest counts
    clock.step_took(1);
    EXPECT_DOUBLE_EQ(clock.margin(), 15);
    EXPECT_TRUE(clock.must_stop(now + seconds(90)));
    EXPECT_FALSE(clock.must_stop(now + seconds(80)));
}

TEST(JobClock, takes_the_earlier_of_the_two_ends) {
    const std::string soon = std::to_string(std::time(nullptr) + 50);
    EXPECT_NEAR(JobClock(std::nullopt, soon.c_str()).left(), 50, 2);
    EXPECT_NEAR(JobClock(20.0, soon.c_str()).left(), 20, 2);
    EXPECT_NEAR(JobClock(200.0, soon.c_str()).left(), 50, 2);
    EXPECT_TRUE(JobClock(std::nullopt, "1000").must_stop()); // already over
}

TEST(JobClock, WarnsOfAnEndThatIsNoTime) {
    const long before = log::warning_count();
    EXPECT_FALSE(JobClock(std::nullopt, "2026-01-01T00:00:00").must_stop());
    EXPECT_GT(log::warning_count(), before);
}

} // namespace
} // namespace tether::test
