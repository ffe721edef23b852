// NumPy .npy files (format 1 to 3): little-endian integers and floating point in C order. The header
// is hostile input: its size, type and shape are compared with the file before anything is allocated.
#pragma once

#include "tether/core/types.hpp"

#include <string>
#include <vector>

namespace tether::data {

struct NpyArray {
    std::vector<Index> shape;
    std::vector<double> values; // row-major
};

// Throws Error(data) naming the file, what was found and what was expected.
[[nodiscard]] NpyArray read_npy(const std::string& path);

} // namespace tether::data
