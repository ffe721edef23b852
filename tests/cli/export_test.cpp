// tether export and tether import from the command line.
#include "tests/running/trained_run.hpp"
#include "tests/support/reference.hpp"
#include "tether/cli/export_command.hpp"
#include "tether/cli/import_command.hpp"
#include "tether/core/error.hpp"
#include "tether/core/hdf5.hpp"
#include "tether/run/run_storage.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace tether::test {
namespace {
namespace fs = std::filesystem;

struct Result {
    int code = 0;
    std::string out, err;
};

Result call(int (*command)(std::span<const std::string>), const std::vector<std::string>& arguments) {
    Result result;
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    try {
        result.code = command(arguments);
    } catch (const Error& error) {
        result.code = static_cast<int>(error.code());
        result.err = error.what();
    }
    result.out = testing::internal::GetCapturedStdout();
    result.err += testing::internal::GetCapturedStderr();
    return result;
}

TEST(ExportCommand, writes_once_and_imports_into_a_new_run) {
    const TemporaryFolder files;
    const std::string run = train_small(trained_job(), files.file("runs"));
    const std::string out = files.file("w.h5");
    const Result first = call(cli::export_command, {run, "--out", out, "--checkpoint", "last"});
    ASSERT_EQ(first.code, 0) << first.err;
    EXPECT_NE(first.out.find("step 4"), std::string::npos) << first.out;
    const auto bytes = run::read_bytes(out);

    const Result second = call(cli::export_command, {run, "--out", out});
    EXPECT_EQ(second.code, 2);
    EXPECT_NE(second.err.find("--force"), std::string::npos);
    EXPECT_EQ(run::read_bytes(out), bytes);
    EXPECT_EQ(call(cli::export_command, {run, "--out", out, "--projected", "--force", "--json"}).code, 0);
    EXPECT_FALSE(hdf5::Reader(out).has("/gamma"));
    EXPECT_EQ(call(cli::export_command, {run, "--out", out, "--checkpoint", "last", "--force"}).code, 0);

    std::ofstream(files.file("job.toml")) << trained_job().resolved();
    const Result imported = call(cli::import_command, {out, "--job", files.file("job.toml"), "--runs",
                                                       files.file("warm"), "--set", "seed=9"});
    ASSERT_EQ(imported.code, 0) << imported.err;
    const std::string folder = imported.out.substr(4, imported.out.size() - 5);
    EXPECT_EQ(imported.out, "run " + folder + "\n");
    EXPECT_EQ(call(cli::export_command, {folder, "--out", files.file("w2.h5"), "--checkpoint", "last"}).code,
              0);
    const hdf5::Reader one(out);
    const hdf5::Reader two(files.file("w2.h5"));
    ASSERT_EQ(one.datasets("/weight"), two.datasets("/weight"));
    for (const std::string& name : one.datasets("/weight")) {
        EXPECT_EQ(one.floats("/weight/" + name), two.floats("/weight/" + name)) << name;
    }
    // A file cut short is refused and leaves no run behind.
    fs::resize_file(out, fs::file_size(out) / 2);
    const Result broken =
        call(cli::import_command, {out, "--job", files.file("job.toml"), "--runs", files.file("other")});
    EXPECT_EQ(broken.code, 3) << broken.err;
    EXPECT_FALSE(fs::exists(files.file("other")));
}

TEST(ExportCommand, names_what_is_missing) {
    const TemporaryFolder files;
    EXPECT_NE(call(cli::export_command, {files.path()}).err.find("--out"), std::string::npos);
    EXPECT_NE(call(cli::import_command, {files.file("w.h5")}).err.find("--job"), std::string::npos);
    EXPECT_EQ(call(cli::export_command, {files.path(), "--out", files.file("w.h5")}).code, 2); // no run here
    EXPECT_FALSE(fs::exists(files.file("w.h5")));
}

} // namespace
} // namespace tether::test
