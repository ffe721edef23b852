// Storage that fails: things in the way, a read-only place, a full disk. Exit code 14, no partial file
// under its final name, and when the cause is gone the same command ends as if nothing had been.
#include "tests/support/reference.hpp"
#include "tests/train/training.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sys/mount.h>
#include <unistd.h>

namespace tether::test {
namespace {
namespace fs = std::filesystem;

void expect_14(const Outcome& outcome, const std::string& path) {
    EXPECT_EQ(outcome.code, 14) << outcome.err;
    EXPECT_NE(outcome.err.find("error: "), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find(path), std::string::npos) << "'" << path << "' is not in: " << outcome.err;
}

TEST(Storage, file_where_the_runs_belong) {
    const TemporaryFolder folder;
    const std::string runs = folder.file("runs");
    std::ofstream(runs) << "kept\n";
    expect_14(tether(small("segnn_ace", 5).arguments(runs), folder.path()), runs);
    EXPECT_EQ(fs::file_size(runs), 5U);
}

TEST(Storage, place_where_no_folder_can_be_made) {
    const TemporaryFolder folder;
    expect_14(tether(small("segnn_ace", 5).arguments("/proc/runs"), folder.path()), "/proc/runs");
}

// The name of a part of the run is taken by something else: it is told and left as it is.
TEST(Storage, something_else_under_a_name_of_the_run) {
    const Training training = small("segnn_ace", 5);
    for (const std::string part : {"checkpoint", "run.h5", "lease"}) {
        const TemporaryFolder folder;
        const std::string runs = folder.file("runs");
        const Outcome shown = tether(training.arguments(runs), folder.path());
        ASSERT_EQ(shown.code, 0) << shown.err;
        const std::string run = shown.folder();
        fs::remove_all(run);
        const bool file = part == "checkpoint";
        fs::create_directories(file ? run : run + "/" + part + "/inside");
        if (file) {
            std::ofstream(run + "/" + part) << "kept\n";
        }
        expect_14(tether(training.arguments(runs), folder.path()), run + "/" + part);
        EXPECT_TRUE(fs::exists(file ? run + "/" + part : run + "/" + part + "/inside"));
    }
}

TEST(Storage, read_only_folder) {
    const TemporaryFolder folder;
    const std::string runs = folder.file("runs");
    fs::create_directories(runs);
    if (geteuid() == 0) {
        if (mount("tmpfs", runs.c_str(), "tmpfs", MS_RDONLY, "size=1m") != 0) {
            GTEST_SKIP() << "the superuser may write everywhere, and nothing can be mounted here";
        }
    } else {
        fs::permissions(runs, fs::perms::owner_read | fs::perms::owner_exec);
    }
    const Outcome outcome = tether(small("segnn_ace", 5).arguments(runs), folder.path());
    if (geteuid() == 0) {
        umount(runs.c_str());
    }
    fs::permissions(runs, fs::perms::owner_all);
    expect_14(outcome, runs);
    EXPECT_EQ(only_run(runs), "");
}

// A file system of its own, of a given size, for the life of the object.
class SmallDisk {
public:
    SmallDisk(std::string folder, Index kilobytes) : folder_(std::move(folder)) {
        fs::create_directories(folder_);
        mounted_ =
            mount("tmpfs", folder_.c_str(), "tmpfs", 0, fmt::format("size={}k", kilobytes).c_str()) == 0;
    }
    ~SmallDisk() {
        if (mounted_) {
            umount2(folder_.c_str(), MNT_DETACH);
        }
    }
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;
    [[nodiscard]] bool mounted() const { return mounted_; }
    void grow(Index kilobytes) const {
        ASSERT_EQ(
            mount("tmpfs", folder_.c_str(), "tmpfs", MS_REMOUNT, fmt::format("size={}k", kilobytes).c_str()),
            0);
    }

private:
    std::string folder_;
    bool mounted_ = false;
};

// From no space at all to space for everything: each size fails somewhere else.
TEST(Storage, full_disk_is_14_and_with_space_again_nothing_is_lost) {
    const TemporaryFolder folder;
    const Training training = small("segnn_ace", 45).with({"log.checkpoint_every_steps=10", "log.every=1"});
    const Record expected = train(training, folder.file("whole"));
    int full = 0;
    int ends = 0;
    for (const Index kilobytes : {4, 40, 120, 240, 300, 400, 500, 640, 800, 1000, 4000}) {
        const std::string runs = folder.file(fmt::format("disk{}", kilobytes));
        const SmallDisk disk(runs, kilobytes);
        if (!disk.mounted()) {
            GTEST_SKIP() << "no file system can be mounted here (that takes the superuser)";
        }
        const Outcome outcome = tether(training.arguments(runs), folder.path());
        ASSERT_TRUE(outcome.code == 14 || outcome.code == 0) << kilobytes << " kB: " << outcome.code << "\n"
                                                             << outcome.err;
        if (outcome.code == 14) {
            ++full;
            EXPECT_NE(outcome.err.find(runs), std::string::npos) << outcome.err;
            EXPECT_NE(outcome.err.find(" free on "), std::string::npos) << outcome.err;
        } else {
            ++ends;
        }
        disk.grow(8000);
        // The same command; a partial file under a final name would be met here, and warned of.
        const Outcome again = tether(training.arguments(runs), folder.path());
        ASSERT_EQ(again.code, 0) << kilobytes << " kB\n" << again.err;
        EXPECT_EQ(again.err.find("warning"), std::string::npos) << kilobytes << " kB\n" << again.err;
        EXPECT_EQ(difference(read_record(only_run(runs)), expected), "") << kilobytes << " kB";
        EXPECT_EQ(leftovers(only_run(runs)), std::vector<std::string>{});
    }
    EXPECT_GE(full, 4);
    EXPECT_GE(ends, 1);
}

} // namespace
} // namespace tether::test
