#include "tests/fuzz/target.hpp"

#include "tether/core/error.hpp"
#include "tether/core/hdf5.hpp"
#include "tether/core/log.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include <fcntl.h>
#include <unistd.h>

namespace tether::fuzz {

// One file each.
void read_amc(Bytes input);
void read_asf(Bytes input);
void read_checkpoint(Bytes input);
void read_irreps(Bytes input);
void read_job(Bytes input);
void read_motion(Bytes input);
void read_npy(Bytes input);
void read_run_file(Bytes input);
void read_sweep(Bytes input);
void read_trajectories(Bytes input);
void read_weights(Bytes input);

std::span<const Target> targets() {
    static constexpr Target all[] = {{"amc", read_amc},
                                     {"asf", read_asf},
                                     {"checkpoint", read_checkpoint},
                                     {"irreps", read_irreps},
                                     {"job", read_job},
                                     {"motion", read_motion, true},
                                     {"npy", read_npy},
                                     {"run_file", read_run_file, true},
                                     {"sweep", read_sweep},
                                     {"trajectories", read_trajectories, true},
                                     {"weights", read_weights, true}};
    return all;
}

const Target* find_target(std::string_view name) {
    const auto all = targets();
    const auto found = std::ranges::find(all, name, &Target::name);
    return found == all.end() ? nullptr : &*found;
}

namespace {
int files = 0;
} // namespace

InputFile::InputFile(Bytes input)
    : path_(std::filesystem::temp_directory_path() / fmt::format("tether_input_{}_{}", ::getpid(), ++files)) {
    const int file = ::open(path_.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    std::size_t written = 0;
    while (file >= 0 && written < input.size()) {
        const ssize_t n = ::write(file, input.data() + written, input.size() - written);
        promised(n > 0, "there is room for the input");
        written += static_cast<std::size_t>(n);
    }
    promised(file >= 0 && ::close(file) == 0, "there is room for the input");
}

InputFile::~InputFile() { ::unlink(path_.c_str()); }

void promised(bool kept, std::string_view promise) {
    if (!kept) {
        std::fprintf(stderr, "broken promise: %.*s\n", static_cast<int>(promise.size()), promise.data());
        std::abort();
    }
}

bool accepted(const Target& target, Bytes input, std::string* message) {
    log::set_quiet(true); // warnings of readers are not looked at
    const auto open_objects = [&] {
        return target.hdf5 ? H5Fget_obj_count(hid_t{H5F_OBJ_ALL}, H5F_OBJ_ALL) : 0;
    };
    try {
        target.read(input);
        promised(open_objects() == 0, "everything that was opened in the file is closed");
        return true;
    } catch (const Error& error) {
        promised(open_objects() == 0, "everything that was opened in the file is closed");
        const std::string_view text = error.what();
        promised(!text.empty() && text.size() < (std::size_t{1} << 16U), "a message a person can read");
        if (message != nullptr) {
            *message = text;
        }
        return false;
    }
}

} // namespace tether::fuzz
