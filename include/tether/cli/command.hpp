// The commands of `tether` and how one is run: errors become messages on stderr and the exit code they
// carry. A command is a function in <name>_command.{hpp,cpp} and one line in src/cli/commands.cpp.
#pragma once

#include <span>
#include <string>

namespace tether::cli {

struct Command {
    const char* name;
    const char* meaning; // one line
    int (*run)(std::span<const std::string> arguments);
};

// All commands of this build, in the order in which help lists them.
[[nodiscard]] std::span<const Command> all_commands();

// `arguments` without the program's name. Prints overview and version itself, catches everything;
// returns the exit code: that of Error, 12 when memory runs out, 1 for what nobody foresaw, 14 when
// stdout could not be written.
[[nodiscard]] int dispatch(std::span<const std::string> arguments, std::span<const Command> commands);
[[nodiscard]] int dispatch(std::span<const std::string> arguments);

[[nodiscard]] std::string overview(std::span<const Command> commands);

} // namespace tether::cli
