// Recorded motion of one skeleton in several trials, and the file it is kept in: xyz [frames of all trials,
// joints, 3] float32, trial_name and trial_length [trials], joint_name and parent [joints], edge [bones, 2],
// and <split>/{train,val,test}/{trial [n], start_frame [n, starts]}, where <split> is published_split or
// split; units, source, licence, credit, frame rate, seed and checksum as attributes. The two stored sets
// (data/mocap) have this layout.
#pragma once

#include "tether/core/types.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace tether::data {

inline constexpr const char* mocap_credit =
    "The data used in this project was obtained from mocap.cs.cmu.edu. The database was created with "
    "funding from NSF EIA-0196217.";

// Which trials belong to a part of the split, and at which frames its samples begin.
struct MotionSplit {
    std::vector<Index> trial;                    // trial numbers
    std::vector<std::vector<Index>> start_frame; // of each of them, as many for all
};

struct Motion {
    std::vector<std::string> joint_name;
    std::vector<std::int32_t> parent; // -1: none
    std::vector<std::string> trial_name;
    std::vector<Index> trial_length; // frames
    std::vector<double> position;    // [frames of all trials x joints x 3], y is up
    std::array<MotionSplit, 3> split;
    bool published_split = false;
    std::string units, source, licence, credit;
    double frame_rate = 120; // Hz
    std::int64_t seed = -1;  // of the split; -1: given, not drawn

    [[nodiscard]] Index joints() const { return static_cast<Index>(joint_name.size()); }
    [[nodiscard]] Index first_frame(Index trial) const; // of a trial in `position`
};

// How a new set is cut: a quarter of the trials each for validation and test (rounded), the rest for
// training; `starts` frames of every trial at most, as many for all trials of a part, drawn at random
// such that the frame `horizon` later and its velocity exist.
struct MotionSplitPlan {
    Index horizon = 30;
    Index starts = 100;
    std::uint64_t seed = 1;
};
// Throws Error(data) for fewer than three trials, Error(data) naming a trial shorter than the horizon.
void draw_split(Motion& motion, const MotionSplitPlan& plan);

// One .asf and all .amc files of a folder, in the order of their names. Throws Error(data).
[[nodiscard]] Motion import_motion(const std::string& folder,
                                   const std::function<void(const std::string& path)>& reading = {});

// Throws Error(data) with file, dataset, position, what was found and expected.
[[nodiscard]] Motion read_motion(const std::string& path);
// Published atomically; returns the checksum. Throws Error(storage) when it cannot be written.
std::string write_motion(const std::string& path, const Motion& motion);

} // namespace tether::data
