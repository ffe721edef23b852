// Where numbers come from: the program's version and commit, the libraries, the machine and its
// instruction set, the time of start. Written into the run file before the first step.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace tether::run {

struct Provenance {
    std::string tether_version;
    std::string git_commit; // "unknown" where the sources were not built from a repository
    bool git_dirty = false; // built from a working tree with changes
    std::string compiler;
    std::string libraries;       // "HDF5 1.10.8, OpenSSL 3.0.15, ..."
    std::string host;            // of this rank
    std::string processor;       // model name
    std::string instruction_set; // what is used, such as "avx2", or "avx2 (of avx512)"
    std::string started;         // UTC, ISO 8601
};

[[nodiscard]] Provenance provenance();
[[nodiscard]] std::string host_name();
[[nodiscard]] std::string utc_now(); // 2026-01-31T12:34:56Z

// "abc123" or "abc123-dirty".
[[nodiscard]] std::string commit_text(const Provenance& from);

// The best of what this machine can do and what this binary was compiled for: "avx512", "avx2",
// "avx", "sse2", "neon".
[[nodiscard]] std::string machine_instruction_set();
[[nodiscard]] std::string compiled_instruction_set();

// The first extension that the binary was compiled for and the machine lacks; null where all are
// there. Safe before any vector code: integers and plain pointers only.
[[nodiscard]] const char* missing_instruction_set() noexcept;
// To be called in main, which links the same check that runs before global objects are made: where something
// is missing, says so on stderr and ends the process with exit code 15 instead of letting it die by SIGILL at
// an arbitrary place.
void require_instruction_set() noexcept;

} // namespace tether::run
