// Bytes of good HDF5 files change at random places, metadata included, and are read by a process of
// their own: it must end by itself, in time, having accepted the file or refused it, or with the exit
// code of bad data where libhdf5 crashes. Never by a signal. The places are the same in every run.
//   fuzz_damage FOLDER [TIMES]        FOLDER/<target>/valid_…
#include "tests/fuzz/target.hpp"

#include <algorithm>
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {
namespace fs = std::filesystem;
using namespace tether::fuzz;

constexpr int accepted_code = 0;
constexpr int refused_code = 2;
constexpr int crashed_code = 3; // of bad data: the guard's
constexpr unsigned most_seconds = 60;

struct Counts {
    int accepted = 0, refused = 0, crashed = 0, failed = 0;
};

std::vector<std::uint8_t> damaged(std::vector<std::uint8_t> bytes, std::minstd_rand& random) {
    // Metadata are few among raw data: half of the changes strike the first 2 KB.
    const std::size_t most = random() % 2 == 0 ? std::min<std::size_t>(bytes.size(), 2048) : bytes.size();
    const unsigned changes = 1 + random() % 4;
    for (unsigned i = 0; i < changes; ++i) {
        std::uint8_t& byte = bytes[random() % most];
        byte = random() % 2 == 0 ? static_cast<std::uint8_t>(byte ^ (1U << random() % 8))
                                 : static_cast<std::uint8_t>(random());
    }
    return bytes;
}

int status_of(const Target& target, const std::vector<std::uint8_t>& bytes) {
    const pid_t child = ::fork();
    if (child == 0) {
        const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
        ::dup2(nowhere, STDERR_FILENO);
        ::alarm(most_seconds);
        int code = 1;
        try {
            code = accepted(target, bytes) ? accepted_code : refused_code;
        } catch (const std::exception&) {
        }
        ::_exit(code);
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    return status;
}

void strike(const Target& target, const fs::path& path, int times, Counts& counts) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> text{std::istreambuf_iterator<char>(file), {}};
    const std::vector<std::uint8_t> good(text.begin(), text.end());
    std::minstd_rand random(1);
    for (int i = 0; i < times; ++i) {
        const std::vector<std::uint8_t> bytes = damaged(good, random);
        const int status = status_of(target, bytes);
        const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        counts.accepted += code == accepted_code ? 1 : 0;
        counts.refused += code == refused_code ? 1 : 0;
        counts.crashed += code == crashed_code ? 1 : 0;
        if (code != accepted_code && code != refused_code && code != crashed_code) {
            ++counts.failed;
            const fs::path kept = fs::temp_directory_path() / fmt::format("damaged_{}_{}", target.name, i);
            std::ofstream(kept, std::ios::binary)
                .write(reinterpret_cast<const char*>(bytes.data()), std::ssize(bytes));
            fmt::print(stderr, "{}, change {}: {} {} (kept as {})\n", path.string(), i,
                       code < 0 ? "signal" : "exit code", code < 0 ? WTERMSIG(status) : code, kept.string());
        }
    }
}

} // namespace

int main(int count, char** arguments) {
    if (count < 2) {
        std::fprintf(stderr, "usage: fuzz_damage FOLDER [TIMES]\n");
        return 2;
    }
    const int times = count > 2 ? std::atoi(arguments[2]) : 60;
    int failed = 0;
    for (const Target& target : targets()) {
        if (!target.hdf5) {
            continue;
        }
        Counts counts;
        for (const auto& entry : fs::directory_iterator(fs::path(arguments[1]) / target.name)) {
            if (entry.path().filename().string().starts_with("valid_")) {
                strike(target, entry.path(), times, counts);
            }
        }
        fmt::print("{:14} accepted {:4}  refused {:4}  libhdf5 crashed {:4}  failed {:4}\n", target.name,
                   counts.accepted, counts.refused, counts.crashed, counts.failed);
        // A test that refuses everything, or nothing, would test nothing.
        failed += counts.failed + (counts.refused == 0 || counts.accepted == 0 ? 1 : 0);
    }
    return failed == 0 ? 0 : 1;
}
