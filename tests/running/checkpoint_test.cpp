// Checkpoints: what comes back is what was put in; anything damaged is refused; a kill or a full
// disk at any stage leaves the newest good one to be found.
#include "tests/support/reference.hpp"
#include "tether/core/error.hpp"
#include "tether/run/checkpoint_folder.hpp"
#include "tether/run/run_storage.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace tether::test {
namespace {
using namespace tether::run;
namespace fs = std::filesystem;

const CheckpointHeader ours{"0123456789ab", "segnn", "float32", 0};

Checkpoint sample(Index step) {
    Checkpoint out;
    out.header = ours;
    out.header.step = step;
    std::vector<float> parameters(500);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
        parameters[i] = static_cast<float>(step) + 0.5F * static_cast<float>(i);
    }
    out.add<float>("parameters", parameters, {20, 25});
    out.add<double>("lambda", std::vector<double>{1.0 / 3, -0.0, 1e300});
    out.add<std::int64_t>("counters", std::vector<std::int64_t>{step, -1});
    out.add<double>("nothing", {});
    out.add_text("state", "{\"epoch\": 3}");
    return out;
}

void put(const std::string& path, std::span<const std::byte> bytes) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

TEST(Checkpoint, comes_back_bitwise) {
    const Checkpoint before = sample(1200);
    const std::vector<std::byte> bytes = before.encode();
    EXPECT_EQ(bytes, sample(1200).encode()); // the same state, the same bytes
    const Checkpoint after = Checkpoint::decode(bytes, "memory");
    EXPECT_EQ(after.encode(), bytes);
    EXPECT_EQ(after.header.step, 1200);
    EXPECT_EQ(after.shape("parameters"), (std::vector<Index>{20, 25}));
    EXPECT_EQ(after.values<double>("lambda"), (std::vector<double>{1.0 / 3, -0.0, 1e300}));
    EXPECT_TRUE(std::signbit(after.values<double>("lambda")[1]));
    EXPECT_EQ(after.text("state"), "{\"epoch\": 3}");
    EXPECT_EQ(after.count("nothing"), 0);
    EXPECT_EQ(after.names().size(), 5U);
}

TEST(Checkpoint, wrong_sections_are_named) {
    const Checkpoint checkpoint = sample(1);
    const auto message = [](const auto& action) {
        try {
            action();
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ExitCode::data);
            return std::string(error.what());
        }
        return std::string("nothing thrown");
    };
    std::vector<float> out(499);
    EXPECT_NE(message([&] { checkpoint.read<float>("parameters", out); }).find("500 values where 499"),
              std::string::npos);
    EXPECT_NE(message([&] {
                  static_cast<void>(checkpoint.values<double>("parameters"));
              }).find("holds float32 where float64"),
              std::string::npos);
    EXPECT_NE(
        message([&] { static_cast<void>(checkpoint.values<double>("lamda")); }).find("did you mean 'lambda'"),
        std::string::npos);
    CheckpointHeader other = ours;
    other.model = "egnn";
    EXPECT_NE(message([&] { checkpoint.expect(other, "f"); }).find("model 'segnn' where 'egnn'"),
              std::string::npos);
    other = ours;
    other.precision = "float64";
    EXPECT_NE(message([&] { checkpoint.expect(other, "f"); }).find("precision"), std::string::npos);
    other = ours;
    other.job_hash = "ffff";
    EXPECT_NE(message([&] { checkpoint.expect(other, "f"); }).find("job hash"), std::string::npos);
    checkpoint.expect({}, "f"); // nothing expected, nothing refused
    Checkpoint twice = sample(1);
    EXPECT_THROW(twice.add_text("state", ""), Error);
    EXPECT_THROW(twice.add<float>("other", std::vector<float>(6), {2, 2}), Error);
}

TEST(Checkpoint, every_damage_is_refused) {
    const std::vector<std::byte> whole = sample(7).encode();
    for (std::size_t length = 0; length < whole.size(); length += 7) {
        EXPECT_THROW(static_cast<void>(Checkpoint::decode(std::span(whole).first(length), "cut")), Error)
            << length;
    }
    std::mt19937_64 random(3);
    for (int i = 0; i < 500; ++i) {
        std::vector<std::byte> damaged = whole;
        const std::size_t bit = random() % (8 * damaged.size());
        damaged[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
        EXPECT_THROW(static_cast<void>(Checkpoint::decode(damaged, "flipped")), Error) << bit;
    }
    std::vector<std::byte> longer = whole;
    longer.push_back(std::byte{0});
    EXPECT_THROW(static_cast<void>(Checkpoint::decode(longer, "longer")), Error);
}

TEST(CheckpointFolder, keeps_the_last_ones_and_the_best) {
    const TemporaryFolder folder;
    CheckpointFolder checkpoints(folder.file("checkpoint"), 2);
    EXPECT_FALSE(checkpoints.load_newest(ours).has_value());
    EXPECT_THROW(static_cast<void>(checkpoints.load(CheckpointKind::best_relaxed, ours)), Error);
    checkpoints.publish(sample(5).encode(), CheckpointKind::best_projected, 5);
    EXPECT_FALSE(checkpoints.load_newest(ours).has_value()); // the best ones are no place to go on from
    for (const Index step : {10, 20, 30}) {
        EXPECT_GE(checkpoints.publish(sample(step).encode(), CheckpointKind::last, step), 0);
    }
    EXPECT_EQ(checkpoints.steps(), (std::vector<Index>{30, 20}));
    const auto newest = checkpoints.load_newest(ours);
    ASSERT_TRUE(newest.has_value());
    EXPECT_EQ(newest->checkpoint.header.step, 30);
    EXPECT_FALSE(newest->fell_back);
    EXPECT_EQ(checkpoints.load(kind_of("best-projected"), ours).checkpoint.header.step, 5);
    EXPECT_EQ(checkpoints.load(kind_of("last"), ours).checkpoint.header.step, 30);
    EXPECT_THROW(static_cast<void>(kind_of("best_projected")), Error);
    for (const auto& item : fs::directory_iterator(folder.file("checkpoint"))) {
        EXPECT_NE(item.path().extension(), ".part");
    }
}

TEST(CheckpointFolder, another_jobs_checkpoint_is_an_error_and_no_reason_to_fall_back) {
    const TemporaryFolder folder;
    CheckpointFolder checkpoints(folder.path());
    checkpoints.publish(sample(10).encode(), CheckpointKind::last, 10);
    Checkpoint foreign = sample(20);
    foreign.header.model = "egnn";
    checkpoints.publish(foreign.encode(), CheckpointKind::last, 20);
    try {
        static_cast<void>(checkpoints.load_newest(ours));
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::data);
        EXPECT_NE(std::string(error.what()).find("'egnn' where 'segnn'"), std::string::npos) << error.what();
    }
}

TEST(CheckpointFolder, WarnsAndFallsBackFromATruncatedOne) {
    for (const double fraction : {0.0, 0.01, 0.5, 0.999}) {
        const TemporaryFolder folder;
        CheckpointFolder checkpoints(folder.path());
        checkpoints.publish(sample(10).encode(), CheckpointKind::last, 10);
        checkpoints.publish(sample(20).encode(), CheckpointKind::last, 20);
        const std::string newest = checkpoints.path_of(CheckpointKind::last, 20);
        fs::resize_file(newest,
                        static_cast<std::uintmax_t>(fraction * static_cast<double>(fs::file_size(newest))));
        const auto loaded = checkpoints.load_newest(ours);
        ASSERT_TRUE(loaded.has_value());
        EXPECT_TRUE(loaded->fell_back);
        EXPECT_EQ(loaded->checkpoint.encode(), sample(10).encode());
        // Going on from 10: the damaged 20 counts for nothing when 15 is saved.
        checkpoints.publish(sample(15).encode(), CheckpointKind::last, 15);
        EXPECT_EQ(checkpoints.steps(), (std::vector<Index>{15, 10}));
        EXPECT_FALSE(checkpoints.load_newest(ours)->fell_back);
    }
}

TEST(CheckpointFolder, WarnsOfBitFlipsAndNeverLoadsThem) {
    const TemporaryFolder folder;
    CheckpointFolder checkpoints(folder.path());
    checkpoints.publish(sample(10).encode(), CheckpointKind::last, 10);
    checkpoints.publish(sample(20).encode(), CheckpointKind::last, 20);
    const std::vector<std::byte> whole = sample(20).encode();
    std::mt19937_64 random(5);
    for (int i = 0; i < 500; ++i) {
        std::vector<std::byte> damaged = whole;
        const std::size_t bit = random() % (8 * damaged.size());
        damaged[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
        put(checkpoints.path_of(CheckpointKind::last, 20), damaged);
        ASSERT_EQ(checkpoints.load_newest(ours)->checkpoint.header.step, 10) << bit;
    }
    put(checkpoints.path_of(CheckpointKind::last, 10), std::span(whole).first(100));
    try {
        static_cast<void>(checkpoints.load_newest(ours));
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::storage);
    }
}

TEST(CheckpointFolder, WarnsOfADamagedManifestAndOfAMissingFile) {
    const TemporaryFolder folder;
    CheckpointFolder checkpoints(folder.path());
    checkpoints.publish(sample(10).encode(), CheckpointKind::last, 10);
    checkpoints.publish(sample(20).encode(), CheckpointKind::last, 20);
    fs::remove(checkpoints.path_of(CheckpointKind::last, 20));
    EXPECT_TRUE(checkpoints.load_newest(ours)->fell_back);
    std::ofstream(folder.file("manifest.json")) << "{\"content\": ";
    EXPECT_EQ(checkpoints.load_newest(ours)->checkpoint.header.step, 10);
}

struct HooksGuard {
    ~HooksGuard() { set_storage_hooks({}); }
};

// Killed at each stage of saving step 30: what is loaded next is 30 or 20, whole.
TEST(CheckpointFolder, kill_at_every_stage) {
    const std::array<const char*, 13> points{"checkpoint.before_write",
                                             "checkpoint.mid_write",
                                             "checkpoint.before_fsync",
                                             "checkpoint.before_rename",
                                             "checkpoint.before_folder_fsync",
                                             "checkpoint.published",
                                             "manifest.before_write",
                                             "manifest.mid_write",
                                             "manifest.before_fsync",
                                             "manifest.before_rename",
                                             "manifest.before_folder_fsync",
                                             "manifest.published",
                                             "checkpoint.pruning"};
    for (std::size_t p = 0; p < points.size(); ++p) {
        const TemporaryFolder folder;
        CheckpointFolder checkpoints(folder.path());
        checkpoints.publish(sample(10).encode(), CheckpointKind::last, 10);
        checkpoints.publish(sample(20).encode(), CheckpointKind::last, 20);
        const pid_t child = fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            set_storage_hooks({[&](std::string_view point) {
                                   if (point == points[p]) {
                                       kill(getpid(), SIGKILL);
                                   }
                               },
                               {}});
            checkpoints.publish(sample(30).encode(), CheckpointKind::last, 30);
            _exit(0);
        }
        int status = 0;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status)) << points[p] << " was never reached";
        checkpoints.remove_leftovers();
        const auto loaded = checkpoints.load_newest(ours);
        ASSERT_TRUE(loaded.has_value()) << points[p];
        const Index expected = p < 4 ? 20 : 30;
        EXPECT_EQ(loaded->checkpoint.encode(), sample(expected).encode()) << points[p];
        EXPECT_FALSE(loaded->fell_back) << points[p];
        checkpoints.publish(sample(40).encode(), CheckpointKind::last, 40);
        EXPECT_EQ(checkpoints.steps().size(), 2U);
        for (const auto& item : fs::directory_iterator(folder.path())) {
            EXPECT_NE(item.path().extension(), ".part") << points[p];
        }
    }
}

TEST(CheckpointFolder, failing_calls_publish_nothing) {
    const HooksGuard guard;
    struct Case {
        const char* call;
        int error;
        const char* says;
    };
    for (const Case& failing : {Case{"open", EROFS, "Read-only"}, Case{"write", ENOSPC, "No space left"},
                                Case{"write", EDQUOT, "quota"}, Case{"fsync", EIO, "Input/output"},
                                Case{"rename", ESTALE, "Stale"}}) {
        const TemporaryFolder folder;
        CheckpointFolder checkpoints(folder.path());
        checkpoints.publish(sample(10).encode(), CheckpointKind::last, 10);
        set_storage_hooks(
            {{}, [&](std::string_view call) { return call == failing.call ? failing.error : 0; }});
        try {
            checkpoints.publish(sample(20).encode(), CheckpointKind::last, 20);
            FAIL() << failing.call;
        } catch (const Error& error) {
            const std::string text = error.what();
            EXPECT_EQ(error.code(), ExitCode::storage);
            EXPECT_NE(text.find(folder.path()), std::string::npos) << text;
            EXPECT_NE(text.find(failing.says), std::string::npos) << text;
            EXPECT_NE(text.find("MB free"), std::string::npos) << text;
        }
        set_storage_hooks({});
        EXPECT_EQ(checkpoints.steps(), std::vector<Index>{10});
        EXPECT_EQ(checkpoints.load_newest(ours)->checkpoint.header.step, 10);
        EXPECT_FALSE(fs::exists(checkpoints.path_of(CheckpointKind::last, 20) + ".part"));
    }
}

// The kernel refuses in the middle of a file.
TEST(CheckpointFolder, full_disk_keeps_the_one_before) {
    const TemporaryFolder folder;
    CheckpointFolder checkpoints(folder.path());
    checkpoints.publish(sample(10).encode(), CheckpointKind::last, 10);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{1500, 1500};
        setrlimit(RLIMIT_FSIZE, &limit);
        try {
            checkpoints.publish(sample(20).encode(), CheckpointKind::last, 20);
        } catch (const Error& error) {
            _exit(static_cast<int>(error.code()));
        }
        _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 14);
    EXPECT_EQ(checkpoints.steps(), std::vector<Index>{10});
    EXPECT_EQ(checkpoints.load_newest(ours)->checkpoint.header.step, 10);
}

TEST(CheckpointFolder, random_kills_always_leave_a_good_one) {
    const TemporaryFolder folder;
    CheckpointFolder checkpoints(folder.path());
    checkpoints.publish(sample(1).encode(), CheckpointKind::last, 1);
    std::mt19937 random(11);
    for (int round = 0; round < 40; ++round) {
        const Index from = checkpoints.load_newest(ours)->checkpoint.header.step;
        int ends[2];
        ASSERT_EQ(pipe(ends), 0);
        const pid_t child = fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            close(ends[0]);
            for (Index step = from + 1;; ++step) {
                checkpoints.publish(sample(step).encode(), CheckpointKind::last, step);
                checkpoints.publish(sample(step).encode(), CheckpointKind::best_relaxed, step);
                if (write(ends[1], &step, sizeof step) != sizeof step) {
                    _exit(1);
                }
            }
        }
        close(ends[1]);
        usleep(2000 + static_cast<useconds_t>(random() % 30000));
        kill(child, SIGKILL);
        int status = 0;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        Index said = from;
        for (Index step = 0; read(ends[0], &step, sizeof step) == sizeof step;) {
            said = step;
        }
        close(ends[0]);
        const auto loaded = checkpoints.load_newest(ours);
        ASSERT_TRUE(loaded.has_value());
        const Index step = loaded->checkpoint.header.step;
        EXPECT_GE(step, said);
        EXPECT_LE(step, said + 1);
        EXPECT_EQ(loaded->checkpoint.encode(), sample(step).encode());
    }
}

} // namespace
} // namespace tether::test
