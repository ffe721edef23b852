// The run file: layout, reading while writing, going on after a stop, its final form.
#include "tests/running/run_file_support.hpp"
#include "tests/support/reference.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sys/wait.h>
#include <unistd.h>

// HDF5 1.10 forgets object headers of its own when it refuses a damaged file. LeakSanitizer calls this name.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libhdf5"; }
// NOLINTEND(bugprone-reserved-identifier)

namespace tether::test {
namespace {
using namespace tether::run;

TEST(RunFile, readable_after_each_commit_and_final_form) {
    const TemporaryFolder folder;
    const std::string path = folder.file("run.h5");
    RunFileWriter writer = RunFileWriter::create(path, small_description());
    EXPECT_FALSE(std::filesystem::exists(path + ".part"));
    auto open = std::make_unique<RunFileReader>(path);
    RunFileReader& reader = *open;
    EXPECT_EQ(reader.state().status, RunStatus::running);
    EXPECT_EQ(reader.rows("/train"), 0);
    EXPECT_EQ(reader.sites(), small_description().sites);
    EXPECT_EQ(reader.text("job"), small_description().job);
    EXPECT_EQ(reader.text("status"), "running");
    EXPECT_EQ(reader.integer("seed"), 42);
    EXPECT_EQ(reader.units("/eval/validation", "projected"), "m^2");
    EXPECT_EQ(reader.units("/train", "wall_s"), "s");
    EXPECT_EQ(reader.width("/constraint", "gamma"), 3);

    append_all(writer, 1);
    reader.refresh();
    EXPECT_EQ(reader.rows("/train"), 0); // not committed
    writer.commit();
    reader.refresh();
    EXPECT_EQ(reader.rows("/train"), 1);
    for (Index step = 2; step <= 1200; ++step) { // more than two chunks
        append_all(writer, step);
        if (step % 7 == 0) {
            writer.commit();
        }
    }
    const BestFigures best{40, 0.5, 0.25, 45, 0.125, 2};
    writer.set_best(best);
    writer.set_state_sha256(std::string(64, 'a'));
    writer.sync();
    reader.refresh();
    EXPECT_EQ(reader.rows("/train"), 1200);
    EXPECT_EQ(complaint(reader), "");
    EXPECT_EQ(reader.state().best.relaxed_step, 45);

    writer.finish(RunStatus::complete);
    EXPECT_FALSE(std::filesystem::exists(path + ".part"));
    reader.refresh();
    EXPECT_EQ(complaint(reader), "");
    EXPECT_EQ(reader.state().status, RunStatus::complete);
    EXPECT_EQ(reader.state().steps, 1200);
    EXPECT_EQ(reader.state().state_sha256, std::string(64, 'a'));
    EXPECT_EQ(reader.state().best.projected_test, 0.25);
    EXPECT_EQ(reader.text("status"), "complete");
    EXPECT_EQ(reader.text("state_sha256"), std::string(64, 'a'));
    EXPECT_EQ(reader.integer("steps"), 1200);
    EXPECT_TRUE(std::isnan(reader.numbers("/eval/validation", "mae_projected").front()));
    EXPECT_EQ(reader.numbers("/eval/validation", "mae_relaxed").front(), value(5, 3));

    open.reset();

    // A closed file opens for any reader, and its best figures are attributes.
    const hdf5::Reader plain(path);
    EXPECT_EQ(plain.number_attribute("/eval/best", "projected_validation"), 0.5);
    EXPECT_EQ(plain.integers("/eval/test/step").size(), 240U);
}

TEST(RunFile, resume_drops_rows_beyond_the_step) {
    const TemporaryFolder folder;
    const std::string path = folder.file("run.h5");
    std::string started;
    {
        RunFileWriter writer = RunFileWriter::create(path, small_description());
        for (Index step = 1; step <= 63; ++step) {
            append_all(writer, step);
        }
        writer.set_best({40, 1, 2, 60, 3, 4});
        writer.commit();
        started = RunFileReader(path).text("started");
    } // as a killed process leaves it
    EXPECT_EQ(RunFileReader(path).state().status, RunStatus::running);
    {
        RunFileWriter writer = RunFileWriter::resume(path, small_description(), 50);
        const RunFileReader reader(path);
        EXPECT_EQ(reader.rows("/train"), 50);
        EXPECT_EQ(reader.rows("/eval/test"), 10);
        EXPECT_EQ(reader.state().steps, 50);
        EXPECT_EQ(reader.state().best.projected_step, 40);
        EXPECT_EQ(reader.state().best.relaxed_step, -1); // was chosen in a future that is undone
        EXPECT_EQ(reader.text("started"), started);
        EXPECT_EQ(reader.integer("restarts"), 1);
        for (Index step = 51; step <= 70; ++step) {
            append_all(writer, step);
        }
        writer.finish(RunStatus::stopped);
    }
    RunFileWriter writer = RunFileWriter::resume(path, small_description(), 70); // of a closed file
    append_all(writer, 71);
    writer.commit();
    const RunFileReader reader(path);
    EXPECT_EQ(reader.rows("/train"), 71);
    EXPECT_EQ(complaint(reader), "");
    EXPECT_EQ(reader.integer("restarts"), 2);
}

TEST(RunFile, resume_refuses_another_layout_and_touches_nothing) {
    const TemporaryFolder folder;
    const std::string path = folder.file("run.h5");
    RunFileWriter::create(path, small_description()).finish(RunStatus::stopped);
    RunDescription other = small_description();
    other.sites.pop_back();
    EXPECT_THROW(static_cast<void>(RunFileWriter::resume(path, other, 0)), Error);
    other = small_description();
    other.metrics.pop_back();
    try {
        static_cast<void>(RunFileWriter::resume(path, other, 0));
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::data);
        EXPECT_NE(std::string(error.what()).find("mae_relaxed"), std::string::npos) << error.what();
    }
    EXPECT_EQ(RunFileReader(path).state().status, RunStatus::stopped);
    EXPECT_FALSE(std::filesystem::exists(path + ".part"));
}

TEST(RunFile, without_sites) {
    const TemporaryFolder folder;
    RunDescription description = small_description();
    description.sites.clear();
    RunFileWriter writer = RunFileWriter::create(folder.file("run.h5"), description);
    writer.append_constraint(1, {}, {}, {});
    writer.append_train({1, 0, 1, 1, 1, 1});
    writer.finish(RunStatus::complete);
    const RunFileReader reader(folder.file("run.h5"));
    EXPECT_EQ(reader.rows("/constraint"), 1);
    EXPECT_TRUE(reader.numbers("/constraint", "gamma").empty());
    EXPECT_TRUE(reader.sites().empty());
}

TEST(RunFile, wrong_use_is_refused) {
    const TemporaryFolder folder;
    RunFileWriter writer = RunFileWriter::create(folder.file("run.h5"), small_description());
    writer.append_train({5, 0, 1, 1, 1, 1});
    EXPECT_THROW(writer.append_train({5, 0, 1, 1, 1, 1}), Error); // step twice
    EXPECT_THROW(writer.append_constraint(1, std::vector<double>{1}, std::vector<double>{1, 2, 3},
                                          std::vector<double>{1, 2, 3}),
                 Error);
    try {
        writer.append_evaluation(Split::test, 1, 1, 1, {{"mae_relaxd", 1}});
        FAIL();
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("did you mean 'mae_relaxed'"), std::string::npos)
            << error.what();
    }
    EXPECT_THROW(writer.finish(RunStatus::running), Error);
    writer.finish(RunStatus::failed);
    EXPECT_THROW(writer.append_train({6, 0, 1, 1, 1, 1}), Error);
    EXPECT_THROW(writer.commit(), Error);
}

// Truncated at any place, the file is refused with its name; it never reads as something else.
TEST(RunFile, truncated_and_foreign_files_are_named) {
    const TemporaryFolder folder;
    const std::string path = folder.file("run.h5");
    RunFileWriter writer = RunFileWriter::create(path, small_description());
    for (Index step = 1; step <= 600; ++step) {
        append_all(writer, step);
    }
    writer.finish(RunStatus::complete);
    const auto size = std::filesystem::file_size(path);
    for (const double fraction : {0.0, 0.01, 0.5, 0.9, 0.999}) {
        const std::string cut = folder.file("cut.h5");
        std::filesystem::copy_file(path, cut, std::filesystem::copy_options::overwrite_existing);
        std::filesystem::resize_file(cut, static_cast<std::uintmax_t>(fraction * static_cast<double>(size)));
        try {
            const RunFileReader reader(cut);
            FAIL() << "opened at " << fraction;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ExitCode::data);
            EXPECT_NE(std::string(error.what()).find(cut), std::string::npos) << error.what();
        }
    }
    EXPECT_THROW(RunFileReader(folder.file("absent.h5")), Error);
    std::ofstream(folder.file("text.h5")) << "no HDF5";
    EXPECT_THROW(RunFileReader(folder.file("text.h5")), Error);
    hdf5::Writer foreign(folder.file("foreign.h5"));
    foreign.write("x", std::vector<double>{1}, {1});
    foreign.close();
    EXPECT_THROW(RunFileReader(folder.file("foreign.h5")), Error);
}

TEST(RunFile, flipped_bits_never_read_as_other_numbers) {
    const TemporaryFolder folder;
    const std::string path = folder.file("run.h5");
    RunFileWriter writer = RunFileWriter::create(path, small_description());
    for (Index step = 1; step <= 100; ++step) {
        append_all(writer, step);
    }
    writer.finish(RunStatus::complete);
    std::ifstream in(path, std::ios::binary);
    const std::string content((std::istreambuf_iterator<char>(in)), {});
    std::uint64_t random = 12345;
    int harmless = 0;
    for (int i = 0; i < 60; ++i) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        std::string damaged = content;
        const std::size_t at = (random >> 20U) % damaged.size();
        damaged[at] = static_cast<char>(damaged[at] ^ static_cast<char>(1 << ((random >> 10U) % 7)));
        const std::string target = folder.file("damaged.h5");
        std::ofstream(target, std::ios::binary) << damaged;
        try {
            const RunFileReader reader(target);
            EXPECT_EQ(complaint(reader), "") << "bit flipped in byte " << at;
            ++harmless; // unused bytes, texts, tables the complaint does not read
        } catch (const Error&) {
        }
    }
    EXPECT_LT(harmless, 60);
}

// A reader in another process looks all the time: never torn, never backwards.
TEST(RunFile, reader_while_writing) {
    const TemporaryFolder folder;
    const std::string path = folder.file("run.h5");
    RunFileWriter writer = RunFileWriter::create(path, small_description());
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        int failures = 0;
        Index last = 0;
        int looked = 0;
        try {
            for (;;) {
                const RunFileReader reader(path);
                const std::string wrong = complaint(reader);
                const Index rows = reader.rows("/train");
                if (!wrong.empty() || rows < last) {
                    ++failures;
                    fmt::print(stderr, "reader: {} ({} rows after {})\n", wrong, rows, last);
                }
                last = rows;
                ++looked;
                if (reader.state().status == RunStatus::complete) {
                    break;
                }
            }
        } catch (const std::exception& error) {
            fmt::print(stderr, "reader: {}\n", error.what());
            _exit(1);
        }
        _exit(failures != 0 ? 2 : looked < 20 ? 3 : 0);
    }
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(4);
    Index step = 0;
    while (std::chrono::steady_clock::now() < end) {
        append_all(writer, ++step);
        writer.commit();
    }
    writer.finish(RunStatus::complete);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "after " << step << " commits: " << status;
}

} // namespace
} // namespace tether::test
