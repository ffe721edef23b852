#include "tests/train/kills.hpp"

#include "tests/support/reference.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <thread>

namespace tether::test {
namespace fs = std::filesystem;
using namespace std::chrono_literals;

bool until(Process& process, const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + 120s;
    while (!condition()) {
        if (!process.running() || std::chrono::steady_clock::now() > end) {
            return condition();
        }
        std::this_thread::sleep_for(2ms);
    }
    return true;
}

bool has_passed(const std::string& runs, Index step) {
    const std::string folder = only_run(runs);
    return !folder.empty() && newest_checkpoint(folder) > step;
}

int wanted_kills(int standard) {
    const char* more = std::getenv("TETHER_KILLS"); // for a long check
    return more == nullptr ? standard : std::atoi(more);
}

void expect_kills_do_no_harm(const Training& training, const Place& place, int kills, unsigned seed) {
    const TemporaryFolder folder;
    const Record expected = train(training, folder.file("whole"));
    ASSERT_EQ(expected.status, "complete");
    std::mt19937 random(seed);
    int done = 0;
    int finished = 0;
    for (int round = 0; done < kills || finished == 0; ++round) {
        ASSERT_LT(round, 20 * (kills + 5)) << "the training does not get on";
        const std::string runs = folder.file(fmt::format("runs{}", finished));
        fs::create_directories(runs);
        const Index before = only_run(runs).empty() ? 0 : newest_checkpoint(only_run(runs));
        Process process(training.command(runs, place, {"--resume", "auto"}), folder.path());
        if (done < kills) {
            if (round % 2 == 1) {
                until(process, [&] { return has_passed(runs, before); });
                std::this_thread::sleep_for(std::chrono::microseconds(random() % 60'000));
            } else {
                std::this_thread::sleep_for(std::chrono::microseconds(random() % 250'000));
            }
            const std::vector<pid_t> ranks = process.children();
            if (process.running()) {
                const bool one = !ranks.empty(); // of the ranks, by chance; the launcher ends the others
                kill(one ? ranks[random() % ranks.size()] : process.pid(), SIGKILL);
            }
        }
        const Outcome outcome = process.wait(120s);
        ASSERT_NE(outcome.code, 124) << "hangs after a kill\n" << outcome.err;
        if (outcome.code == 0) {
            ASSERT_EQ(difference(read_record(only_run(runs)), expected), "") << "after " << done << " kills";
            ASSERT_EQ(leftovers(only_run(runs)), std::vector<std::string>{});
            ++finished;
        } else {
            ASSERT_GE(outcome.code, 128) << "ended by itself\n" << outcome.err;
            ++done;
        }
    }
    EXPECT_GE(done, kills);
}

} // namespace tether::test
