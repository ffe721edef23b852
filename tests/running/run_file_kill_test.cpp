// The run file against SIGKILL at random moments and against a full disk.
#include "tests/running/run_file_support.hpp"
#include "tests/support/reference.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace tether::test {
namespace {
using namespace tether::run;

// The child goes on from what is there and never stops by itself. What it had committed it says
// through the pipe; the parent kills it, and all of that must be there.
TEST(RunFileKill, a_hundred_kills_lose_nothing_committed) {
    const TemporaryFolder folder;
    const std::string path = folder.file("run.h5");
    RunFileWriter::create(path, small_description()).finish(RunStatus::stopped);
    std::mt19937 random(7);
    Index reached = 0;
    const char* wanted = std::getenv("TETHER_KILLS"); // more of them for a long check
    const int rounds = wanted == nullptr ? 100 : std::atoi(wanted);
    for (int round = 0; round < rounds; ++round) {
        int ends[2];
        ASSERT_EQ(pipe(ends), 0);
        const pid_t child = fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            close(ends[0]);
            try {
                Index step = std::max<Index>(0, RunFileReader(path).rows("/train") - 3);
                RunFileWriter writer = RunFileWriter::resume(path, small_description(), step);
                for (;;) {
                    append_all(writer, ++step);
                    if (step % 3 == 0) {
                        writer.commit();
                        if (write(ends[1], &step, sizeof step) != sizeof step) {
                            _exit(1);
                        }
                    }
                    if (step % 500 == 499) { // the final form is under fire as well
                        writer.finish(RunStatus::stopped);
                        writer = RunFileWriter::resume(path, small_description(), step);
                    }
                }
            } catch (const std::exception& error) {
                fmt::print(stderr, "writer: {}\n", error.what());
                _exit(2);
            }
        }
        close(ends[1]);
        // Every second kill is timed from the first commit, so that both resuming and writing are hit
        // however slow the machine is.
        Index said = 0;
        if (round % 2 == 1) {
            ASSERT_EQ(read(ends[0], &said, sizeof said), static_cast<ssize_t>(sizeof said));
        }
        std::this_thread::sleep_for(std::chrono::microseconds(1000 + random() % 30000));
        kill(child, SIGKILL);
        int status = 0;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status)) << "the writer ended by itself with " << WEXITSTATUS(status);
        for (Index step = 0; read(ends[0], &step, sizeof step) == sizeof step;) {
            said = step;
        }
        close(ends[0]);
        const RunFileReader reader(path);
        ASSERT_EQ(complaint(reader), "") << "round " << round;
        ASSERT_GE(reader.rows("/train"), said) << "round " << round;
        reached = std::max(reached, reader.rows("/train"));
    }
    EXPECT_GT(reached, 100);
}

// Why the kills do no harm: no chunk lies across two pages, so that none is ever half rewritten.
TEST(RunFileKill, chunks_lie_within_pages) {
    const TemporaryFolder folder;
    RunFileWriter writer = RunFileWriter::create(folder.file("run.h5"), small_description());
    for (Index step = 1; step <= 1100; ++step) {
        append_all(writer, step);
    }
    writer.commit();
    const RunFileReader reader(folder.file("run.h5"));
    const hdf5::Handle file(H5Fopen(reader.path().c_str(), H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, H5P_DEFAULT),
                            H5Fclose);
    ASSERT_TRUE(file.valid());
    int looked_at = 0;
    std::vector<std::string> names{"/live/state", "/live/committed"};
    for (const std::string& table : reader.tables()) {
        for (const std::string& column : reader.columns(table)) {
            names.push_back(table + "/" + column);
        }
    }
    for (const std::string& name : names) {
        const hdf5::Handle dataset(H5Dopen2(file.id(), name.c_str(), H5P_DEFAULT), H5Dclose);
        ASSERT_TRUE(dataset.valid()) << name;
        const hdf5::Handle space(H5Dget_space(dataset.id()), H5Sclose);
        hsize_t chunks = 0;
        ASSERT_GE(H5Dget_num_chunks(dataset.id(), space.id(), &chunks), 0) << name;
        for (hsize_t i = 0; i < chunks; ++i) {
            hsize_t offset[2];
            unsigned mask = 0;
            haddr_t address = 0;
            hsize_t size = 0;
            ASSERT_GE(H5Dget_chunk_info(dataset.id(), space.id(), i, offset, &mask, &address, &size), 0)
                << name;
            EXPECT_EQ(address / 4096, (address + size - 1) / 4096) << name << " chunk " << i;
            ++looked_at;
        }
    }
    EXPECT_GT(looked_at, 60);
}

// A limit of the file size stands in for a full disk: growing fails, overwriting does not.
TEST(RunFileKill, full_disk_is_named_and_marked_and_the_rows_before_stay) {
    const TemporaryFolder folder;
    const std::string path = folder.file("run.h5");
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        int result = 1;
        try {
            signal(SIGXFSZ, SIG_IGN);
            RunFileWriter writer = RunFileWriter::create(path, small_description());
            Index step = 0;
            for (; step < 50;) {
                append_all(writer, ++step);
                writer.commit();
            }
            const auto size = std::filesystem::file_size(path) + 20000;
            const rlimit limit{size, size};
            setrlimit(RLIMIT_FSIZE, &limit);
            try {
                for (; step < 100000;) {
                    append_all(writer, ++step);
                    writer.commit();
                }
            } catch (const Error& error) {
                const std::string text = error.what();
                const bool named =
                    text.find(path) != std::string::npos && text.find(" free on ") != std::string::npos;
                result = error.code() == ExitCode::storage && named ? 0 : 3;
                if (result != 0) {
                    fmt::print(stderr, "{}\n", text);
                }
                writer.finish(RunStatus::failed);
            }
        } catch (const std::exception& error) {
            fmt::print(stderr, "writer: {}\n", error.what());
        }
        _exit(result);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status)) << status;
    EXPECT_EQ(WEXITSTATUS(status), 0);
    const RunFileReader reader(path);
    EXPECT_EQ(reader.state().status, RunStatus::failed);
    EXPECT_GE(reader.rows("/train"), 50);
    EXPECT_EQ(complaint(reader), "");
    // With space again, training goes on from the last checkpoint.
    RunFileWriter writer = RunFileWriter::resume(path, small_description(), 50);
    append_all(writer, 51);
    writer.finish(RunStatus::complete);
    EXPECT_EQ(RunFileReader(path).rows("/train"), 51);
}

TEST(RunFileKill, read_only_folder_is_a_storage_error) {
    if (geteuid() == 0) {
        GTEST_SKIP() << "the superuser may write everywhere";
    }
    const TemporaryFolder folder;
    std::filesystem::permissions(folder.path(),
                                 std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
    try {
        static_cast<void>(RunFileWriter::create(folder.file("run.h5"), small_description()));
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::storage);
    }
}

} // namespace
} // namespace tether::test
