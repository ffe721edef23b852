// Reads what the EGNN and SEGNN N-body generators write: loc_, vel_ and charges_ for train, valid and
// test, each [simulations, frames, 3, bodies] or [..., bodies, 3], named loc_train_<suffix>.npy and
// so on. (edges_*.npy holds products of charges or forces, which follow from the rest.)
#pragma once

#include "tether/data/trajectories.hpp"

#include <functional>
#include <string>
#include <vector>

namespace tether::data {

struct GeneratorFiles {
    std::string folder;
    std::string suffix;        // "charged5_initvel1small"; empty: the only one in the folder
    std::vector<Index> frames; // which to keep; empty: all
    std::function<void(const std::string& path)> reading; // called before each file
};

// Throws Error(data), or Error(usage) for a suffix that does not exist or is not unique.
[[nodiscard]] Trajectories import_generator_files(const GeneratorFiles& files);

} // namespace tether::data
