// A phase that lasts is mentioned, reported and, after the grace period, ends the process; phases
// that move on never do. The exit function is a fake here; test_faults ends real processes.
#include "tether/core/error.hpp"
#include "tether/parallel/watchdog.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

namespace tether::parallel {
namespace {

using namespace std::chrono_literals;

class WatchdogTest : public testing::Test {
protected:
    WatchdogOptions options(std::chrono::milliseconds limit, std::chrono::milliseconds grace) {
        WatchdogOptions made;
        made.limit = limit;
        made.grace = grace;
        made.exit = [this](int code) { code_ = code; };
        made.report = [this](const std::string& text) {
            const std::lock_guard lock(mutex_);
            reports_ += text;
        };
        return made;
    }
    std::string reports() {
        const std::lock_guard lock(mutex_);
        return reports_;
    }
    bool ended_within(std::chrono::milliseconds time) {
        const auto until = std::chrono::steady_clock::now() + time;
        while (code_ == 0 && std::chrono::steady_clock::now() < until) {
            std::this_thread::sleep_for(1ms);
        }
        return code_ != 0;
    }
    std::atomic<int> code_{0};

private:
    std::mutex mutex_;
    std::string reports_;
};

TEST_F(WatchdogTest, a_hang_is_named_and_ends_with_13) {
    Watchdog watchdog(options(200ms, 50ms));
    watchdog.set_rank(3);
    watchdog.set_detail([] { return std::string("not yet there: rank 5"); });
    watchdog.phase("forward", 16);
    watchdog.phase("reduce", 17);
    ASSERT_TRUE(ended_within(20s));
    EXPECT_EQ(code_, 13);
    const std::string text = reports();
    for (const char* part : {"rank 3 on ", "phase 'reduce' of step 17", "not yet there: rank 5", "straggling",
                             "taken for a hang", "giving up, exit 13"}) {
        EXPECT_NE(text.find(part), std::string::npos) << part << " is missing in: " << text;
    }
    EXPECT_EQ(text.find("forward"), std::string::npos);
}

TEST_F(WatchdogTest, phases_that_move_on_and_rest_never_end) {
    Watchdog watchdog(options(2000ms, 10ms));
    const auto until = std::chrono::steady_clock::now() + 300ms;
    for (Index step = 0; std::chrono::steady_clock::now() < until; ++step) {
        watchdog.phase("forward", step, 100ms); // shorter than all of them together
        std::this_thread::sleep_for(1ms);
    }
    watchdog.rest();
    EXPECT_FALSE(ended_within(300ms));
    EXPECT_EQ(reports().find("hang"), std::string::npos);
}

TEST_F(WatchdogTest, a_phase_may_have_a_limit_of_its_own) {
    Watchdog watchdog(options(100s, 20ms));
    watchdog.phase("checkpoint", 5, 50ms);
    EXPECT_TRUE(ended_within(20s));
    EXPECT_NE(reports().find("limit 0.1 s"), std::string::npos) << reports();
}

TEST_F(WatchdogTest, going_on_within_the_grace_period_saves_the_process) {
    Watchdog watchdog(options(40ms, 20s));
    watchdog.phase("reduce", 1);
    const auto until = std::chrono::steady_clock::now() + 20s;
    while (reports().find("taken for a hang") == std::string::npos &&
           std::chrono::steady_clock::now() < until) {
        std::this_thread::sleep_for(1ms);
    }
    watchdog.rest();
    while (reports().find("went on after all") == std::string::npos &&
           std::chrono::steady_clock::now() < until) {
        std::this_thread::sleep_for(1ms);
    }
    EXPECT_NE(reports().find("phase 'reduce' of step 1 went on after all"), std::string::npos) << reports();
    EXPECT_EQ(code_, 0);
}

TEST_F(WatchdogTest, is_cheap_and_refuses_no_time) {
    EXPECT_THROW(Watchdog(options(0ms, 10ms)), Error);
    EXPECT_THROW(Watchdog(options(10ms, -1ms)), Error);
    Watchdog watchdog(options(100s, 1s));
    std::thread other([&] { watchdog.set_rank(1); });
    for (Index step = 0; step < 100'000; ++step) {
        watchdog.phase("forward", step);
    }
    other.join();
    EXPECT_EQ(code_, 0);
}

} // namespace
} // namespace tether::parallel
