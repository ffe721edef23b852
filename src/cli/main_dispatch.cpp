#include "tether/cli/command.hpp"
#include "tether/cli/launch.hpp"
#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/core/text.hpp"
#include "tether/run/provenance.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <new>
#include <thread>
#include <vector>

namespace tether::cli {
namespace {

constexpr int unforeseen = 1;

int code_of(ExitCode code) { return static_cast<int>(code); }

// All ranks meet a usage error at the same place: one of them tells. Other errors may be of one rank.
void report(ExitCode code, const std::string& message) {
    if (code != ExitCode::usage || speaks()) {
        const int rank = launched_rank();
        log::error("{}{}", rank == 0 ? "" : fmt::format("rank {}: ", rank), message);
    } else {
        // The launcher ends all ranks with the first that ends: let the message out before.
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
    }
}

std::vector<std::string> names_of(std::span<const Command> commands) {
    std::vector<std::string> names;
    std::ranges::transform(commands, std::back_inserter(names), &Command::name);
    return names;
}

int run_command(std::span<const std::string> arguments, std::span<const Command> commands) {
    const std::string first = arguments.empty() ? "" : arguments[0];
    if (first.empty() || first == "--help" || first == "-h" || first == "help") {
        if (first == "help" && arguments.size() > 1) {
            return run_command(std::vector<std::string>{arguments[1], "--help"}, commands);
        }
        if (speaks()) {
            fmt::print(first.empty() ? stderr : stdout, "{}", overview(commands));
        }
        return first.empty() ? code_of(ExitCode::usage) : 0;
    }
    if (first == "--version") {
        if (speaks()) {
            const run::Provenance from = run::provenance();
            fmt::print("tether {} ({})\n", from.tether_version, run::commit_text(from));
        }
        return 0;
    }
    const auto command = std::ranges::find_if(commands, [&](const Command& c) { return first == c.name; });
    if (command == commands.end()) {
        std::vector<std::string> known = names_of(commands);
        const bool flag = first.starts_with("-");
        if (flag) {
            known = {"--help", "--version"};
        }
        fail(ExitCode::usage, "tether: unknown {} '{}'{}", flag ? "flag" : "command", first,
             hint(first, known));
    }
    return command->run(arguments.subspan(1));
}

} // namespace

std::string overview(std::span<const Command> commands) {
    std::string out = "tether trains networks whose symmetry is a constraint.\n\n"
                      "usage: tether COMMAND [arguments]\n\n";
    for (const Command& command : commands) {
        out += fmt::format("  {:<10} {}\n", command.name, command.meaning);
    }
    return out + "\ntether COMMAND --help explains one; tether --version tells the build.\n";
}

int dispatch(std::span<const std::string> arguments, std::span<const Command> commands) {
    int code = unforeseen;
    try {
        code = run_command(arguments, commands);
    } catch (const Error& error) {
        report(error.code(), error.what());
        code = code_of(error.code());
    } catch (const std::bad_alloc&) {
        report(ExitCode::numbers,
               "out of memory: fewer samples per batch, threads or lanes at once need less");
        code = code_of(ExitCode::numbers);
    } catch (const std::exception& error) {
        report(ExitCode::numbers, fmt::format("unexpected: {} (this is a defect of tether)", error.what()));
    } catch (...) {
        report(ExitCode::numbers, "unexpected: something that is no exception was thrown");
    }
    // Results that could not be written are not results; a full disk shows up only here.
    if ((std::fflush(stdout) != 0 || std::ferror(stdout) != 0) && code == 0) {
        report(ExitCode::storage, "standard output could not be written");
        code = code_of(ExitCode::storage);
    }
    return code;
}

int dispatch(std::span<const std::string> arguments) { return dispatch(arguments, all_commands()); }

} // namespace tether::cli
