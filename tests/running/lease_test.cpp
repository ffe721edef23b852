// One writer per run folder: a live holder is named, a dead one is succeeded at once, one on another
// machine when its heartbeat stands still.
#include "tests/support/reference.hpp"
#include "tether/core/error.hpp"
#include "tether/run/lease.hpp"
#include "tether/run/provenance.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace tether::test {
namespace {
using namespace tether::run;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

const LeaseTimes quick{50ms, 400ms, 200ms};

void fabricate(const std::string& folder, const std::string& host, long pid, int heartbeat) {
    const std::string text = fmt::format(
        R"({{"host":"{}","boot":"x","pid":{},"process_start":1,"job":"42.1","token":"t","heartbeat":{}}})",
        host, pid, heartbeat);
    std::ofstream(folder + "/new") << text;
    fs::rename(folder + "/new", folder + "/lease");
}

TEST(Lease, is_given_back) {
    const TemporaryFolder folder;
    {
        const Lease lease(folder.path(), quick);
        const auto holder = read_lease(folder.path());
        ASSERT_TRUE(holder.has_value());
        EXPECT_EQ(holder->pid, getpid());
        EXPECT_EQ(holder->host, host_name());
        EXPECT_EQ(liveness(*holder), Liveness::alive);
        EXPECT_TRUE(lease_is_live(folder.path()));
        std::this_thread::sleep_for(200ms);
        EXPECT_GT(read_lease(folder.path())->heartbeat, 0);
        EXPECT_FALSE(lease.lost());
    }
    EXPECT_FALSE(fs::exists(folder.file("lease")));
    EXPECT_FALSE(lease_is_live(folder.path()));
    const Lease again(folder.path(), quick);
}

TEST(Lease, second_process_is_refused_with_code_2_and_told_the_holder) {
    const TemporaryFolder folder;
    const Lease lease(folder.path(), quick);
    const pid_t parent = getpid();
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        try {
            const Lease second(folder.path(), quick);
            _exit(100);
        } catch (const Error& error) {
            const bool named = std::string(error.what()).find(std::to_string(parent)) != std::string::npos;
            _exit(named ? static_cast<int>(error.code()) : 101);
        }
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 2);
    EXPECT_TRUE(fs::exists(folder.file("lease")));
}

TEST(Lease, of_a_killed_process_is_taken_over_at_once) {
    const TemporaryFolder folder;
    for (const bool reaped : {false, true}) { // a process that nobody has waited for yet is dead too
        const pid_t child = fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            const Lease lease(folder.path());
            pause();
        }
        while (!read_lease(folder.path())) {
            std::this_thread::sleep_for(2ms);
        }
        kill(child, SIGKILL);
        int status = 0;
        if (reaped) {
            ASSERT_EQ(waitpid(child, &status, 0), child);
        } else {
            siginfo_t info;
            ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT),
                      0); // dead, still listed
        }
        EXPECT_FALSE(lease_is_live(folder.path()));
        const auto begin = std::chrono::steady_clock::now();
        const Lease lease(folder.path());
        EXPECT_LT(std::chrono::steady_clock::now() - begin, 2s);
        EXPECT_EQ(read_lease(folder.path())->pid, getpid());
        if (!reaped) {
            ASSERT_EQ(waitpid(child, &status, 0), child);
        }
    }
}

TEST(Lease, of_another_host_is_taken_over_when_its_heartbeat_stands_still) {
    const TemporaryFolder folder;
    fabricate(folder.path(), "elsewhere", 1, 5);
    const auto begin = std::chrono::steady_clock::now();
    const Lease lease(folder.path(), quick);
    EXPECT_GE(std::chrono::steady_clock::now() - begin, quick.expiry);
    EXPECT_EQ(read_lease(folder.path())->pid, getpid());
}

TEST(Lease, of_another_host_with_a_heartbeat_is_respected) {
    const TemporaryFolder folder;
    fabricate(folder.path(), "elsewhere", 1, 5);
    std::thread other([&] {
        std::this_thread::sleep_for(150ms);
        fabricate(folder.path(), "elsewhere", 1, 6);
    });
    try {
        const Lease lease(folder.path(), quick);
        ADD_FAILURE() << "taken over";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::usage);
        EXPECT_NE(std::string(error.what()).find("elsewhere (job 42.1)"), std::string::npos) << error.what();
    }
    other.join();
}

TEST(Lease, reused_pid_is_not_the_holder) {
    const TemporaryFolder folder;
    {
        const Lease lease(folder.path(), quick);
        LeaseHolder holder = *read_lease(folder.path());
        holder.process_start += 1; // our own pid, but of an earlier process
        EXPECT_EQ(liveness(holder), Liveness::dead);
    }
}

TEST(Lease, half_written_one_is_taken_over_after_a_moment) {
    const TemporaryFolder folder;
    std::ofstream(folder.file("lease")).flush();
    const auto begin = std::chrono::steady_clock::now();
    const Lease lease(folder.path(), quick);
    EXPECT_GE(std::chrono::steady_clock::now() - begin, quick.unreadable);
}

TEST(Lease, loss_is_noticed_and_the_new_holders_lease_is_left_alone) {
    const TemporaryFolder folder;
    {
        const Lease lease(folder.path(), quick);
        fabricate(folder.path(), "elsewhere", 1, 5);
        const auto end = std::chrono::steady_clock::now() + 5s;
        while (!lease.lost() && std::chrono::steady_clock::now() < end) {
            std::this_thread::sleep_for(10ms);
        }
        EXPECT_TRUE(lease.lost());
    }
    EXPECT_EQ(read_lease(folder.path())->token, "t");
}

// Many processes want a dead holder's lease at the same time: exactly one gets it.
TEST(Lease, takeover_has_one_winner) {
    for (int round = 0; round < 5; ++round) {
        const TemporaryFolder folder;
        const pid_t owner = fork();
        ASSERT_GE(owner, 0);
        if (owner == 0) {
            const Lease lease(folder.path());
            _exit(0); // leaves it behind
        }
        int status = 0;
        ASSERT_EQ(waitpid(owner, &status, 0), owner);
        ASSERT_TRUE(fs::exists(folder.file("lease")));
        // Each says through one pipe what it got; who won holds on until all have spoken.
        constexpr int processes = 8;
        int said[2];
        int go[2];
        ASSERT_EQ(pipe(said), 0);
        ASSERT_EQ(pipe(go), 0);
        std::vector<pid_t> children;
        for (int i = 0; i < processes; ++i) {
            const pid_t child = fork();
            ASSERT_GE(child, 0);
            if (child == 0) {
                close(go[1]);
                char word = 'l';
                try {
                    const Lease lease(folder.path());
                    word = 'w';
                    bool good = write(said[1], &word, 1) == 1;
                    good = read(go[0], &word, 1) == 0 && good; // until the parent closes its end
                    _exit(good && !lease.lost() ? 0 : 1);
                } catch (const Error&) {
                    _exit(write(said[1], &word, 1) == 1 ? 0 : 1);
                }
            }
            children.push_back(child);
        }
        close(go[0]);
        int winners = 0;
        for (int i = 0; i < processes; ++i) {
            char word = 0;
            ASSERT_EQ(read(said[0], &word, 1), 1);
            winners += word == 'w' ? 1 : 0;
        }
        EXPECT_EQ(winners, 1);
        close(go[1]);
        close(said[0]);
        close(said[1]);
        for (const pid_t child : children) {
            ASSERT_EQ(waitpid(child, &status, 0), child);
            EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
        }
    }
}

TEST(Lease, missing_folder_is_a_storage_error) {
    try {
        const Lease lease("/nonexistent/folder");
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::storage);
    }
}

} // namespace
} // namespace tether::test
