// Flags, values, repetition, help, and one clear message for each mistake.
#include "tether/cli/arguments.hpp"
#include "tether/core/error.hpp"

#include <gtest/gtest.h>

namespace tether::cli {
namespace {

const Usage usage{.command = "toy",
                  .meaning = "Plays.",
                  .positional = "FILE",
                  .least = 1,
                  .most = 2,
                  .flags = {{.name = "--set", .value = "KEY=VALUE", .meaning = "sets", .repeated = true},
                            {.name = "--threads", .value = "N", .meaning = "threads"},
                            {.name = "--rate", .value = "R", .meaning = "rate"},
                            {.name = "--mode", .value = "M", .meaning = "mode", .words = {"fast", "slow"}},
                            {.name = "--json", .meaning = "JSON"}},
                  .example = "tether toy file"};

Arguments parse(const std::vector<std::string>& arguments) { return {usage, arguments}; }

std::string message(const std::vector<std::string>& arguments) {
    try {
        (void)parse(arguments);
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::usage);
        return error.what();
    }
    ADD_FAILURE() << "no error";
    return {};
}

} // namespace

TEST(Arguments, both_forms_of_a_value_and_repetition) {
    const Arguments given =
        parse({"a", "--set", "x=1", "--set=y=2", "--threads=4", "--rate", "-0.5", "--json", "--", "--b"});

    EXPECT_EQ(given.positional(), (std::vector<std::string>{"a", "--b"}));
    EXPECT_EQ(given.values("--set"), (std::vector<std::string>{"x=1", "y=2"}));
    EXPECT_EQ(given.integer("--threads", 1, 8), 4);
    EXPECT_EQ(given.real("--rate", -1, 1), -0.5);
    EXPECT_TRUE(given.has("--json"));
    EXPECT_FALSE(given.has("--mode"));
    EXPECT_EQ(given.value_or("--mode", "slow"), "slow");
}

TEST(Arguments, absent_flags_have_no_value) {
    const Arguments given = parse({"a"});

    EXPECT_EQ(given.value("--mode"), std::nullopt);
    EXPECT_EQ(given.integer("--threads", 1, 8), std::nullopt);
    EXPECT_EQ(given.integer_or("--threads", 3, 1, 8), 3);
    EXPECT_TRUE(given.values("--set").empty());
    EXPECT_THROW((void)given.has("--typo"), std::logic_error);
}

TEST(Arguments, mistakes_are_named) {
    EXPECT_EQ(message({"a", "--thread", "4"}),
              "tether toy: unknown flag --thread (did you mean '--threads'?)");
    EXPECT_NE(message({"a", "--qqqqqq"}).find("(known: --help, --set"), std::string::npos);
    EXPECT_EQ(message({"a", "--threads"}), "tether toy: --threads needs a value: --threads N");
    EXPECT_EQ(message({"a", "--threads", "--json"}), "tether toy: --threads needs a value: --threads N");
    EXPECT_EQ(message({"a", "--json=1"}), "tether toy: --json takes no value");
    EXPECT_EQ(message({"a", "--json", "--json"}), "tether toy: --json is given twice");
    EXPECT_EQ(message({"a", "--mode", "fats"}),
              "tether toy: --mode: found 'fats', expected one of fast, slow (did you mean 'fast'?)");
    EXPECT_EQ(message({}), "tether toy: missing FILE (see tether toy --help)");
    EXPECT_EQ(message({"a", "b", "c"}), "tether toy: unexpected argument 'c' (see tether toy --help)");
}

TEST(Arguments, numbers_are_checked) {
    for (const char* bad : {"0", "9", "4x", "", "1.5", "99999999999999999999"}) {
        const Arguments given = parse({"a", std::string("--threads=") + bad});
        EXPECT_THROW((void)given.integer("--threads", 1, 8), Error) << bad;
    }
    for (const char* bad : {"nan", "2", "x"}) {
        const Arguments given = parse({"a", std::string("--rate=") + bad});
        EXPECT_THROW((void)given.real("--rate", -1, 1), Error) << bad;
    }
}

TEST(Arguments, help_wins_over_everything_else) {
    testing::internal::CaptureStdout();
    const Arguments given = parse({"--nonsense", "--help"});
    const std::string shown = testing::internal::GetCapturedStdout();

    EXPECT_TRUE(given.help_shown());
    EXPECT_EQ(shown, help_text(usage));
    for (const char* part :
         {"usage: tether toy FILE", "[--set KEY=VALUE]...", "--mode M", "example: tether toy file"}) {
        EXPECT_NE(shown.find(part), std::string::npos) << part;
    }
}

} // namespace tether::cli
