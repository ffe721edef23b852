// tether status over a folder with a complete, a stopped, a killed, a truncated and an empty run.
#include "tests/running/run_file_support.hpp"
#include "tests/support/reference.hpp"
#include "tether/cli/status_command.hpp"
#include "tether/core/error.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace tether::test {
namespace {
using namespace tether::run;
using tether::cli::status_command;
namespace fs = std::filesystem;

struct Result {
    int code = 0;
    std::string out;
    std::string err;
};

Result status(const std::vector<std::string>& arguments) {
    Result result;
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    try {
        result.code = status_command(arguments);
    } catch (const Error& error) {
        result.code = static_cast<int>(error.code());
        result.err = error.what();
    }
    result.out = testing::internal::GetCapturedStdout();
    result.err += testing::internal::GetCapturedStderr();
    return result;
}

void make_run(const std::string& folder, Index steps, RunStatus end) {
    fs::create_directories(folder);
    std::ofstream(folder + "/job.toml") << "";
    RunFileWriter writer = RunFileWriter::create(folder + "/run.h5", small_description());
    for (Index step = 1; step <= steps; ++step) {
        append_all(writer, step);
    }
    writer.commit();
    if (end != RunStatus::running) {
        writer.finish(end);
    }
}

TEST(StatusCommand, shows_every_run_and_goes_on_past_damaged_ones) {
    const TemporaryFolder runs;
    make_run(runs.file("a-complete"), 1000, RunStatus::complete);
    make_run(runs.file("b-stopped"), 250, RunStatus::stopped);
    make_run(runs.file("c-killed"), 10, RunStatus::running);
    make_run(runs.file("d-truncated"), 10, RunStatus::complete);
    fs::resize_file(runs.file("d-truncated/run.h5"), 3000);
    fs::create_directories(runs.file("e-empty"));
    std::ofstream(runs.file("e-empty/run.h5")) << "";
    fs::create_directories(runs.file("g-waiting"));
    std::ofstream(runs.file("g-waiting/job.toml")) << "";
    make_run(runs.file("f-fresh"), 0, RunStatus::failed);

    const Result table = status({runs.path()});
    EXPECT_EQ(table.code, 0);
    EXPECT_NE(table.out.find("250/1000"), std::string::npos) << table.out;
    EXPECT_NE(table.out.find("25.0"), std::string::npos) << table.out;
    EXPECT_EQ(std::ranges::count(table.out, '\n'), 8) << table.out;
    EXPECT_NE(table.err.find("d-truncated/run.h5"), std::string::npos) << table.err;
    EXPECT_NE(table.err.find("e-empty/run.h5"), std::string::npos) << table.err;

    const Result json = status({"--json", runs.path()});
    const auto list = nlohmann::json::parse(json.out);
    ASSERT_EQ(list.size(), 7U);
    const std::vector<std::string> states{"complete",   "stopped", "killed", "unreadable",
                                          "unreadable", "failed",  "waiting"};
    for (std::size_t i = 0; i < states.size(); ++i) {
        EXPECT_EQ(list[i]["status"], states[i]) << list[i].dump(1);
    }
    EXPECT_EQ(list[1]["loss"], value(250, 2));
    EXPECT_EQ(list[1]["gamma"][1], value(250, 3));
    EXPECT_EQ(list[1]["steps_per_s"], 1.0);
    EXPECT_TRUE(list[5]["loss"].is_null());
    EXPECT_NE(list[3]["problem"].get<std::string>().find("truncated"), std::string::npos);
}

TEST(StatusCommand, nothing_to_show_is_code_3) {
    const TemporaryFolder runs;
    const Result result = status({runs.path()});
    EXPECT_EQ(result.code, 3);
    EXPECT_NE(result.err.find("no run"), std::string::npos);
}

TEST(StatusCommand, help_and_misspelt_flags) {
    const Result help = status({"--help"});
    EXPECT_EQ(help.code, 0);
    EXPECT_NE(help.out.find("example: tether status"), std::string::npos);
    const Result wrong = status({"--jsno", "x"});
    EXPECT_EQ(wrong.code, 2);
    EXPECT_NE(wrong.err.find("did you mean '--json'"), std::string::npos) << wrong.err;
    EXPECT_EQ(status({}).code, 2);
}

} // namespace
} // namespace tether::test
