// Elements of O(3): a rotation as unit quaternion (w, x, y, z), and a determinant; the element is
// determinant · R(quaternion), since -1 commutes with everything. Conversions between quaternions,
// axis times angle, Euler angles y-x-y and matrices; all are accurate at half turns and near the
// identity.
#pragma once

#include "tether/symmetry/matrix.hpp"

#include <array>

namespace tether::symmetry {

using Vector3 = std::array<double, 3>;

struct Quaternion {
    double w = 1, x = 0, y = 0, z = 0;
};

[[nodiscard]] Quaternion operator*(const Quaternion& a, const Quaternion& b); // first b, then a
[[nodiscard]] Quaternion inverse(const Quaternion& q);                        // of a unit quaternion
[[nodiscard]] Quaternion
normalised(const Quaternion& q); // throws Error where the length is zero or not finite
[[nodiscard]] Quaternion from_axis_angle(const Vector3& axis_times_angle);
[[nodiscard]] Quaternion about(const Vector3& axis, double angle); // axis of any length but zero
[[nodiscard]] Vector3 to_axis_angle(const Quaternion& q);          // angle in [0, π]
[[nodiscard]] Matrix rotation_matrix(const Quaternion& q);         // 3x3, acts on columns (x, y, z)
// The same by rows and without an allocation, for loops over samples.
[[nodiscard]] std::array<Vector3, 3> rotation_rows(const Quaternion& q);

// R = R_y(alpha) R_x(beta) R_y(gamma), beta in [0, π].
struct EulerAngles {
    double alpha = 0, beta = 0, gamma = 0;
};
[[nodiscard]] EulerAngles euler_angles(const Quaternion& q);

struct O3Element {
    Quaternion rotation;
    int determinant = 1; // +1 or -1
    [[nodiscard]] Matrix matrix() const;
};

[[nodiscard]] O3Element operator*(const O3Element& a, const O3Element& b); // first b, then a
[[nodiscard]] O3Element inverse(const O3Element& g);
// Throws Error(usage) unless 3x3 and orthogonal within `tolerance`.
[[nodiscard]] O3Element o3_element(const Matrix& matrix, double tolerance = 1e-6);

} // namespace tether::symmetry
