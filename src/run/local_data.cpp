#include "tether/run/local_data.hpp"

#include "tether/core/error.hpp"
#include "tether/core/sha256.hpp"
#include "tether/run/run_storage.hpp"

#include <cerrno>
#include <filesystem>
#include <unistd.h>

namespace tether::run {
namespace fs = std::filesystem;

std::string local_copy(const std::string& file, const std::string& folder, parallel::Communicator& world) {
    std::error_code error;
    if (!fs::is_regular_file(file, error)) {
        return file;
    }
    Sha256 sum;
    sum.add(fmt::format("{} {} {}", fs::absolute(file).string(), fs::file_size(file),
                        fs::last_write_time(file).time_since_epoch().count()));
    const fs::path home = fs::path(folder) / ("tether-data-" + sum.hex().substr(0, 16));
    const fs::path copy = home / fs::path(file).filename();
    if (world.local_rank() == 0 && !fs::exists(copy, error)) {
        fs::create_directories(home, error);
        if (error) {
            storage_failure(home.string(), "create the folder for local data", error.value());
        }
        const fs::path part = copy.string() + fmt::format(".part-{}", ::getpid());
        fs::copy_file(file, part, error);
        if (!error) {
            fs::rename(part, copy, error);
        }
        if (error) {
            std::error_code ignored;
            fs::remove(part, ignored);
            storage_failure(copy.string(), "copy " + file + " to", error.value());
        }
    }
    world.barrier();
    return copy.string();
}

} // namespace tether::run
