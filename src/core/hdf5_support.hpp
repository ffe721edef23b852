// Private to the HDF5 files of this folder: what reading and writing share.
#pragma once

#include "tether/core/hdf5.hpp"

#include <string>

namespace tether::hdf5 {

// HDF5 prints nothing itself from now on.
void silence();
// What HDF5 says went wrong first, in parentheses, or nothing.
[[nodiscard]] std::string reason();
// "FILE:/NAME"
[[nodiscard]] std::string where(const std::string& path, const std::string& name);
// Looks at every part of a path, as H5Lexists demands; follows soft links.
[[nodiscard]] bool exists(hid_t file, const std::string& name);
[[nodiscard]] H5O_type_t object_type(hid_t file, const std::string& name);

} // namespace tether::hdf5
