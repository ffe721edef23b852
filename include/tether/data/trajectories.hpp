// Trajectories of particles as the N-body generators produce them, and the file they are kept in:
// loc, vel [simulations, frames, bodies, 3], charge [simulations, bodies], frames [frames], split
// [simulations] (0 train, 1 validation, 2 test, 3 out of distribution), the layout of the stored published
// set, with units, source, licence, seed and checksum as attributes. Numbers in the file are float32.
#pragma once

#include "tether/core/types.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace tether::data {

struct Trajectories {
    std::string system; // "charged", "gravity" or "gravity4"
    Index simulations = 0;
    Index bodies = 0;
    std::vector<Index> frames;              // frame numbers, ascending
    std::vector<double> position, velocity; // [simulations, frames, bodies, 3]
    std::vector<double> charge;             // [simulations, bodies]; empty: none (gravity)
    std::vector<std::int32_t> split;        // [simulations]
    std::string source, licence;
    std::int64_t seed = -1;
    std::string description; // of the dynamics, one line
};

// First 5/7 train, then 1/7 validation, the rest test: 10,000 / 2,000 / 2,000 of 14,000.
[[nodiscard]] std::vector<std::int32_t> standard_split(Index simulations);

// Published atomically; returns the checksum. Throws Error(data) for values that are not finite,
// Error(storage) when it cannot be written.
std::string write_trajectories(const std::string& path, const Trajectories& trajectories);

// What is asked of a file: the wanted frames of the first samples of each split (0: all of it).
struct TrajectorySelection {
    std::vector<Index> frames;     // frame numbers
    Index count[4] = {0, 0, 0, 0}; // train, validation, test, out of distribution
};

// Reads the layout above (frames: 0, 1, ... and split: standard_split where the dataset is missing).
// Only selected simulations and frames are returned, in the order of the file, `frames` in the order
// asked for. The checksum is compared where the file carries one.
// Throws Error(data) with file, dataset, position, what was found and expected.
[[nodiscard]] Trajectories read_trajectories(const std::string& path, const TrajectorySelection& selection);

} // namespace tether::data
