// A copy of a data file on the disk of every node: read from there by all ranks of the node, made once
// by one of them, and kept for the jobs that follow.
#pragma once

#include "tether/parallel/communicator.hpp"

#include <string>

namespace tether::run {

// Path of the copy below `folder`, named after the file's path, size and time. Collective. A data set
// that is a folder is not copied: its own path comes back. Throws Error(storage).
[[nodiscard]] std::string local_copy(const std::string& file, const std::string& folder,
                                     parallel::Communicator& world);

} // namespace tether::run
