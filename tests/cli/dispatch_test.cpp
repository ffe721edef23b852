// Exit codes and messages of the program as a whole, on commands of this test and on the real ones.
#include "tether/cli/command.hpp"
#include "tether/core/error.hpp"

#include <gtest/gtest.h>

#include <new>
#include <stdexcept>

namespace tether::cli {
namespace {

int fine(std::span<const std::string> arguments) { return static_cast<int>(arguments.size()); }
int wrong_numbers(std::span<const std::string>) { fail(ExitCode::numbers, "the loss is NaN"); }
int wrong_usage(std::span<const std::string>) { fail(ExitCode::usage, "no such job"); }
int no_memory(std::span<const std::string>) { throw std::bad_alloc(); }
int defect(std::span<const std::string>) { throw std::logic_error("impossible"); }
int oddity(std::span<const std::string>) { throw 7; } // NOLINT

constexpr Command toys[] = {{"fine", "works", fine},         {"numbers", "fails", wrong_numbers},
                            {"usage", "fails", wrong_usage}, {"memory", "fails", no_memory},
                            {"defect", "fails", defect},     {"oddity", "fails", oddity}};

struct Result {
    int code;
    std::string out, err;
};

Result run(const std::vector<std::string>& arguments, std::span<const Command> commands = toys) {
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    Result result{dispatch(arguments, commands), "", ""};
    result.out = testing::internal::GetCapturedStdout();
    result.err = testing::internal::GetCapturedStderr();
    return result;
}

} // namespace

TEST(Dispatch, passes_the_other_arguments_and_the_code) { EXPECT_EQ(run({"fine", "a", "b"}).code, 2); }

TEST(Dispatch, errors_become_their_exit_codes) {
    EXPECT_EQ(run({"numbers"}).code, 12);
    EXPECT_EQ(run({"numbers"}).err, "error: the loss is NaN\n");
    EXPECT_EQ(run({"usage"}).code, 2);
    EXPECT_EQ(run({"memory"}).code, 12);
    EXPECT_NE(run({"memory"}).err.find("out of memory"), std::string::npos);
    EXPECT_EQ(run({"defect"}).code, 1);
    EXPECT_NE(run({"defect"}).err.find("impossible"), std::string::npos);
    EXPECT_EQ(run({"oddity"}).code, 1);
}

TEST(Dispatch, misspelt_commands_and_flags) {
    const Result command = run({"fin"});
    EXPECT_EQ(command.code, 2);
    EXPECT_EQ(command.err, "error: tether: unknown command 'fin' (did you mean 'fine'?)\n");
    EXPECT_EQ(command.out, "");
    const Result flag = run({"--hlep"});
    EXPECT_EQ(flag.code, 2);
    EXPECT_NE(flag.err.find("did you mean '--help'?"), std::string::npos);
}

TEST(Dispatch, overview_and_version) {
    const Result none = run({});
    EXPECT_EQ(none.code, 2);
    EXPECT_NE(none.err.find("usage: tether COMMAND"), std::string::npos);
    const Result help = run({"--help"});
    EXPECT_EQ(help.code, 0);
    EXPECT_EQ(help.out, overview(toys));
    EXPECT_EQ(run({"--version"}).out.rfind("tether ", 0), 0U);
}

TEST(Dispatch, every_command_has_help_with_an_example_and_names_misspelt_flags) {
    for (const Command& command : all_commands()) {
        const Result help = run({command.name, "--help"}, all_commands());
        EXPECT_EQ(help.code, 0) << command.name;
        EXPECT_NE(help.out.find(std::string("usage: tether ") + command.name), std::string::npos)
            << command.name;
        EXPECT_NE(help.out.find("example: tether "), std::string::npos) << command.name;
        EXPECT_EQ(run({"help", command.name}, all_commands()).out, help.out);
        const Result wrong = run({command.name, "--hepl"}, all_commands());
        EXPECT_EQ(wrong.code, 2) << command.name;
        EXPECT_NE(wrong.err, "") << command.name;
        EXPECT_EQ(wrong.out, "") << command.name;
    }
}

} // namespace tether::cli
