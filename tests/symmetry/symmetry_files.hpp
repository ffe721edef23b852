// Reference files by what they hold, so that files of other names and sizes are used as well.
#pragma once

#include "tests/support/reference.hpp"
#include "tether/core/hdf5.hpp"

#include <string>
#include <vector>

namespace tether::test {

// Files of a reference folder that contain this object.
inline std::vector<std::string> files_with(const std::string& folder, const std::string& object) {
    std::vector<std::string> files;
    for (const std::string& file : reference_files(folder)) {
        if (hdf5::Reader(file).has(object)) {
            files.push_back(file);
        }
    }
    return files;
}

} // namespace tether::test
