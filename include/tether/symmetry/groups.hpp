// Groups that a model may be symmetric under, by name, and random elements of them (Haar), from a
// counter-based stream. "SO3", "O3"; "SO2": turns about the vertical axis; "O2": those and the
// reflections in planes that contain this axis.
#pragma once

#include "tether/core/philox.hpp"
#include "tether/symmetry/rotation.hpp"

#include <span>
#include <string>
#include <string_view>

namespace tether::symmetry {

enum class GroupKind { so3, o3, so2, o2 };

struct Group {
    GroupKind kind = GroupKind::o3;
    Vector3 vertical = {0, 0, 1}; // of SO2 and O2; any length but zero

    [[nodiscard]] std::string name() const; // "O3"
    [[nodiscard]] bool has_improper() const { return kind == GroupKind::o3 || kind == GroupKind::o2; }
    // Its rotations: of O3 it is SO3, of O2 it is SO2.
    [[nodiscard]] Group proper() const;
    // Haar-distributed; improper with probability 1/2 where the group has such elements.
    [[nodiscard]] O3Element random(RandomStream& stream) const;
};

[[nodiscard]] std::span<const std::string> group_names();
// Throws Error(usage) with the nearest name. `vertical` is used by SO2 and O2 alone.
[[nodiscard]] Group group_by_name(std::string_view name, const Vector3& vertical = {0, 0, 1});

[[nodiscard]] Quaternion random_rotation(RandomStream& stream); // SO(3)
[[nodiscard]] O3Element random_o3(RandomStream& stream);

} // namespace tether::symmetry
