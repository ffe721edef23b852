// Errors carry the process exit code they lead to (spec: operations, "Exit codes"),
// so that the command line needs no table of its own. Messages say where, what was
// found and what was expected.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace tether {

enum class ExitCode : int {
    ok = 0,
    usage = 2,    // command line, job file, impossible combination
    data = 3,     // data, weight or reference file
    numbers = 12, // NaN, divergence
    peer = 13,    // a rank is lost or hangs
    storage = 14, // run file, checkpoint, disk
    device = 15,  // accelerator missing or failing
    requeue = 75  // checkpointed, start me again
};

class Error : public std::runtime_error {
public:
    Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
    [[nodiscard]] ExitCode code() const noexcept { return code_; }

private:
    ExitCode code_;
};

template <class... Args>
[[noreturn]] void fail(ExitCode code, fmt::format_string<Args...> format, Args&&... args) {
    throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// For conditions that a caller or a user can break. The message is built only on failure.
template <class... Args>
void check(bool condition, ExitCode code, fmt::format_string<Args...> format, Args&&... args) {
    if (!condition) [[unlikely]] {
        fail(code, format, std::forward<Args>(args)...);
    }
}

template <class... Args>
void check(bool condition, fmt::format_string<Args...> format, Args&&... args) {
    if (!condition) [[unlikely]] {
        fail(ExitCode::usage, format, std::forward<Args>(args)...);
    }
}

} // namespace tether
