#include "tests/support/reference.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <stdexcept>
#include <unistd.h>

namespace tether::test {
namespace fs = std::filesystem;
namespace {

std::vector<std::string> roots() {
    if (const char* chosen = std::getenv("TETHER_REFERENCE"); chosen != nullptr && *chosen != '\0') {
        return {chosen};
    }
    const std::string source = TETHER_SOURCE_DIR;
    return {source + "/tests/reference", source + "/../shared/reference"};
}

// TMPDIR where that is set; else memory where there is plenty: what tests write is synced to disk all
// the time, and a slow disk would be most of what is waited for.
std::string place_for_folders() {
    std::error_code error;
    const bool chosen = std::getenv("TMPDIR") != nullptr;
    const bool roomy = fs::space("/dev/shm", error).available > (std::uintmax_t{1} << 30U) && !error;
    return !chosen && roomy && access("/dev/shm", W_OK) == 0 ? "/dev/shm"
                                                             : fs::temp_directory_path().string();
}

} // namespace

std::vector<std::string> reference_files(const std::string& folder) {
    // The first place that has a name wins; names found in one place only are all used.
    std::vector<std::string> files;
    std::vector<std::string> names;
    for (const std::string& root : roots()) {
        std::error_code error;
        for (const auto& entry : fs::directory_iterator(root + "/" + folder, error)) {
            const std::string name = entry.path().filename().string();
            if (entry.path().extension() == ".h5" && std::ranges::find(names, name) == names.end()) {
                names.push_back(name);
                files.push_back(entry.path().string());
            }
        }
    }
    std::ranges::sort(files);
    return files;
}

std::string reference_file(const std::string& folder, const std::string& name) {
    for (const std::string& root : roots()) {
        std::string path = root + "/" + folder + "/" + name;
        if (fs::exists(path)) {
            return path;
        }
    }
    return {};
}

double disagreement(std::span<const double> found, std::span<const double> expected, double largest) {
    if (found.size() != expected.size()) {
        return std::numeric_limits<double>::infinity();
    }
    double difference = 0;
    double scale = 1e-2 * largest;
    for (std::size_t i = 0; i < found.size(); ++i) {
        const double d = std::abs(found[i] - expected[i]);
        if (!(d <= std::numeric_limits<double>::max())) {
            return std::numeric_limits<double>::infinity();
        }
        difference = std::max(difference, d);
        scale = std::max(scale, std::abs(expected[i]));
    }
    return difference == 0 ? 0 : difference / scale;
}

TemporaryFolder::TemporaryFolder() {
    std::string pattern = place_for_folders() + "/tether-test-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) {
        throw std::runtime_error("no temporary folder: " + pattern);
    }
    path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
    std::error_code ignored;
    fs::permissions(path_, fs::perms::owner_all, fs::perm_options::add, ignored);
    fs::remove_all(path_, ignored);
}

} // namespace tether::test
