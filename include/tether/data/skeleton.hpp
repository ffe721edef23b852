// Skeleton and motion files of the CMU motion capture database (Acclaim ASF and AMC, text), and forward
// kinematics: with R(a) the rotation about x, then y, then z (or as the file's axis order says), C =
// R(axis) and M_b = C R(dof) C^T, G_b = G_parent M_b and x_b = x_parent + length_b G_b direction_b; the
// root turns by its own channels and stands at its translation. Files are hostile input: every error
// names file and line, what was found and what was expected.
#pragma once

#include "tether/core/types.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace tether::data {

// What a number of a bone's line in a motion file means.
enum class Channel : std::uint8_t { rx, ry, rz, tx, ty, tz };

struct Bone {
    std::string name;
    std::int32_t parent = -1;          // -1: the root
    std::array<double, 3> direction{}; // unit vector; not of the root
    double length = 0;
    std::array<double, 3> axis{};      // degrees
    std::array<int, 3> order{0, 1, 2}; // of the rotations: 0 about x, ...; the first one acts first
    std::vector<Channel> channels{};   // in the order of the motion files; empty: the bone is rigid
    std::array<double, 3> offset{};    // of the root
};

struct Skeleton {
    std::string path;
    double length_unit_cm = 2.54;       // of lengths and translations
    std::vector<Bone> bones;            // the root, then the bones in the order of the file
    std::vector<std::int32_t> outwards; // bone numbers, parents before children
};

// Throws Error(data).
[[nodiscard]] Skeleton read_asf(const std::string& path);

// Positions [frames x bones x 3] of a motion file, in the skeleton's unit of length. Throws Error(data):
// among others for unknown, missing and repeated bones, wrong numbers of channels, what is no number,
// frames out of order, a file that ends within a frame.
[[nodiscard]] std::vector<double> read_amc(const std::string& path, const Skeleton& skeleton);

} // namespace tether::data
