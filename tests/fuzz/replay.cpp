// Gives the kept inputs to their targets, with whatever compiler this is built by:
//   fuzz_replay FOLDER [TARGET…]        FOLDER/<target>/<input>
// Names say what must happen: valid_… is accepted, broken_… refused; of others (found by fuzzing) only
// that they do no harm.
#include "tests/fuzz/target.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

namespace {
namespace fs = std::filesystem;
using namespace tether::fuzz;

// Whether it went as the name of the input says.
bool replayed(const Target& target, const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    const std::string name = path.filename().string();
    std::string message;
    bool fits = true;
    try {
        const bool taken =
            accepted(target, {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, &message);
        fits = taken ? !name.starts_with("broken_") : !name.starts_with("valid_");
    } catch (const std::exception& other) {
        fits = false;
        message = std::string("not a tether::Error: ") + other.what();
    }
    if (!fits) {
        std::fprintf(stderr, "%s: %s\n", path.c_str(), message.empty() ? "was accepted" : message.c_str());
    }
    return fits;
}

} // namespace

int main(int count, char** arguments) {
    if (count < 2) {
        std::fprintf(stderr, "usage: fuzz_replay FOLDER [TARGET...]\n");
        return 2;
    }
    int failed = 0;
    for (const Target& target : targets()) {
        if (count > 2 && std::find(arguments + 2, arguments + count, target.name) == arguments + count) {
            continue;
        }
        int inputs = 0;
        int valid = 0;
        const fs::path folder = fs::path(arguments[1]) / target.name;
        for (const auto& entry : fs::directory_iterator(folder)) {
            failed += replayed(target, entry.path()) ? 0 : 1;
            valid += entry.path().filename().string().starts_with("valid_") ? 1 : 0;
            ++inputs;
        }
        std::printf("%-14s %4d inputs\n", target.name.data(), inputs);
        if (valid == 0) { // else all could be refused for one reason
            std::fprintf(stderr, "%s: no input named valid_...\n", folder.c_str());
            ++failed;
        }
    }
    return failed == 0 ? 0 : 1;
}
