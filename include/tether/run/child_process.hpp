// Starts another program, waits for it, and takes what it said. No shell in between: words are words.
#pragma once

#include <string>
#include <vector>

namespace tether::run {

struct Captured {
    int code = -1; // exit code; 128 + signal; 127 where it could not be started
    std::string out, err;
};

[[nodiscard]] Captured capture(const std::vector<std::string>& command);
[[nodiscard]] bool on_path(const std::string& program);

} // namespace tether::run
