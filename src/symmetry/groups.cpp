// Random elements: unit quaternions from four normals; turns by a uniform angle.
#include "tether/symmetry/groups.hpp"

#include "tether/core/error.hpp"
#include "tether/core/text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace tether::symmetry {
namespace {

const std::array<std::string, 4>& names() {
    static const std::array<std::string, 4> all{"SO3", "O3", "SO2", "O2"}; // order of GroupKind
    return all;
}

// A unit vector across the axis.
Vector3 across(const Vector3& axis) {
    const auto [x, y, z] = axis;
    // Product with the coordinate axis that is furthest from it.
    Vector3 out = std::abs(x) <= std::abs(y) && std::abs(x) <= std::abs(z) ? Vector3{0, z, -y}
                  : std::abs(y) <= std::abs(z)                             ? Vector3{-z, 0, x}
                                                                           : Vector3{y, -x, 0};
    const double length = std::hypot(out[0], out[1], out[2]);
    for (double& component : out) {
        component /= length;
    }
    return out;
}

} // namespace

std::string Group::name() const { return names()[static_cast<std::size_t>(kind)]; }

std::span<const std::string> group_names() { return names(); }

Group group_by_name(std::string_view name, const Vector3& vertical) {
    const auto found = std::ranges::find(names(), name);
    check(found != names().end(), "no group is called '{}'{}", name, hint(name, names()));
    Group group{static_cast<GroupKind>(found - names().begin()), vertical};
    const double length = std::hypot(vertical[0], vertical[1], vertical[2]);
    check(length > 0 && std::isfinite(length), "group {}: the vertical axis ({}, {}, {}) has no direction",
          name, vertical[0], vertical[1], vertical[2]);
    return group;
}

Quaternion random_rotation(RandomStream& stream) {
    for (;;) {
        Quaternion q;
        q.w = stream.normal();
        q.x = stream.normal();
        q.y = stream.normal();
        q.z = stream.normal();
        // Shorter ones (probability 1e-25) would lose digits of their direction.
        if (q.w * q.w + q.x * q.x + q.y * q.y + q.z * q.z > 1e-12) {
            return normalised(q);
        }
    }
}

O3Element random_o3(RandomStream& stream) {
    const Quaternion rotation = random_rotation(stream);
    return {rotation, stream.uniform() < 0.5 ? 1 : -1};
}

Group Group::proper() const {
    const bool vertical_only = kind == GroupKind::so2 || kind == GroupKind::o2;
    return {vertical_only ? GroupKind::so2 : GroupKind::so3, vertical};
}

O3Element Group::random(RandomStream& stream) const {
    switch (kind) {
    case GroupKind::so3: return {random_rotation(stream), 1};
    case GroupKind::o3: return random_o3(stream);
    case GroupKind::so2:
    case GroupKind::o2: break;
    }
    const Quaternion turn = about(vertical, 2 * std::numbers::pi * stream.uniform());
    if (kind == GroupKind::so2 || stream.uniform() < 0.5) {
        return {turn, 1};
    }
    // The mirror whose plane has a horizontal normal n is minus the half turn about n.
    return {normalised(turn * about(across(vertical), std::numbers::pi)), -1};
}

} // namespace tether::symmetry
