// Quaternions, axis-angle, Euler angles and matrices.
#include "tether/symmetry/rotation.hpp"

#include "tether/core/error.hpp"

#include <algorithm>
#include <cmath>

namespace tether::symmetry {

Quaternion operator*(const Quaternion& a, const Quaternion& b) {
    return {a.w * b.w - a.x * b.x - a.y * b.y - a.z * b.z, a.w * b.x + a.x * b.w + a.y * b.z - a.z * b.y,
            a.w * b.y - a.x * b.z + a.y * b.w + a.z * b.x, a.w * b.z + a.x * b.y - a.y * b.x + a.z * b.w};
}

Quaternion inverse(const Quaternion& q) { return {q.w, -q.x, -q.y, -q.z}; }

Quaternion normalised(const Quaternion& q) {
    const double length = std::hypot(std::hypot(q.w, q.x), std::hypot(q.y, q.z));
    check(length > 0 && std::isfinite(length), "quaternion ({}, {}, {}, {}) has no direction", q.w, q.x, q.y,
          q.z);
    return {q.w / length, q.x / length, q.y / length, q.z / length};
}

Quaternion from_axis_angle(const Vector3& axis_times_angle) {
    const auto [x, y, z] = axis_times_angle;
    const double angle = std::hypot(x, y, z);
    const double factor = angle > 0 ? std::sin(angle / 2) / angle : 0.5;
    return {std::cos(angle / 2), factor * x, factor * y, factor * z};
}

Quaternion about(const Vector3& axis, double angle) {
    const auto [x, y, z] = axis;
    const double length = std::hypot(x, y, z);
    check(length > 0 && std::isfinite(length), "axis ({}, {}, {}) has no direction", x, y, z);
    const double factor = std::sin(angle / 2) / length;
    return {std::cos(angle / 2), factor * x, factor * y, factor * z};
}

Vector3 to_axis_angle(const Quaternion& q) {
    const double sign = q.w < 0 ? -1 : 1;
    const double sine = std::hypot(q.x, q.y, q.z);
    const double factor = sine > 0 ? sign * 2 * std::atan2(sine, sign * q.w) / sine : 2 * sign;
    return {factor * q.x, factor * q.y, factor * q.z};
}

std::array<Vector3, 3> rotation_rows(const Quaternion& q) {
    return {{{1 - 2 * (q.y * q.y + q.z * q.z), 2 * (q.x * q.y - q.w * q.z), 2 * (q.x * q.z + q.w * q.y)},
             {2 * (q.x * q.y + q.w * q.z), 1 - 2 * (q.x * q.x + q.z * q.z), 2 * (q.y * q.z - q.w * q.x)},
             {2 * (q.x * q.z - q.w * q.y), 2 * (q.y * q.z + q.w * q.x), 1 - 2 * (q.x * q.x + q.y * q.y)}}};
}

Matrix rotation_matrix(const Quaternion& q) {
    const std::array<Vector3, 3> rows = rotation_rows(q);
    Matrix r(3, 3);
    for (std::size_t i = 0; i < 3; ++i) {
        for (std::size_t j = 0; j < 3; ++j) {
            r(static_cast<Index>(i), static_cast<Index>(j)) = rows[i][j];
        }
    }
    return r;
}

EulerAngles euler_angles(const Quaternion& q) {
    // q = (cos β/2 cos s, sin β/2 cos d, cos β/2 sin s, -sin β/2 sin d), s = (α+γ)/2, d = (α-γ)/2.
    // Where β is 0 or π one of s, d is arbitrary, and the product of the three turns does not care.
    const double s = std::atan2(q.y, q.w);
    const double d = std::atan2(-q.z, q.x);
    return {s + d, 2 * std::atan2(std::hypot(q.x, q.z), std::hypot(q.w, q.y)), s - d};
}

Matrix O3Element::matrix() const { return static_cast<double>(determinant) * rotation_matrix(rotation); }

O3Element operator*(const O3Element& a, const O3Element& b) {
    return {normalised(a.rotation * b.rotation), a.determinant * b.determinant};
}

O3Element inverse(const O3Element& g) { return {inverse(g.rotation), g.determinant}; }

O3Element o3_element(const Matrix& matrix, double tolerance) {
    check(matrix.rows == 3 && matrix.columns == 3, "element of O(3): matrix of {}x{}, expected 3x3",
          matrix.rows, matrix.columns);
    const double defect = largest_entry(matrix * transposed(matrix) - Matrix::identity(3));
    const bool finite = std::ranges::all_of(matrix.values, [](double v) { return std::isfinite(v); });
    check(finite && defect <= tolerance,
          "element of O(3): the matrix is not orthogonal, R Rᵀ differs from 1 by {:.3g} (at most {:.3g} "
          "allowed)",
          defect, tolerance);
    const Matrix& m = matrix;
    const double determinant = m(0, 0) * (m(1, 1) * m(2, 2) - m(1, 2) * m(2, 1)) -
                               m(0, 1) * (m(1, 0) * m(2, 2) - m(1, 2) * m(2, 0)) +
                               m(0, 2) * (m(1, 0) * m(2, 1) - m(1, 1) * m(2, 0));
    const int sign = determinant < 0 ? -1 : 1;
    const Matrix r = static_cast<double>(sign) * m;
    // 4 q qᵀ from the entries; its largest diagonal element says which row to divide by.
    const double products[4][4] = {
        {1 + r(0, 0) + r(1, 1) + r(2, 2), r(2, 1) - r(1, 2), r(0, 2) - r(2, 0), r(1, 0) - r(0, 1)},
        {r(2, 1) - r(1, 2), 1 + r(0, 0) - r(1, 1) - r(2, 2), r(0, 1) + r(1, 0), r(0, 2) + r(2, 0)},
        {r(0, 2) - r(2, 0), r(0, 1) + r(1, 0), 1 - r(0, 0) + r(1, 1) - r(2, 2), r(1, 2) + r(2, 1)},
        {r(1, 0) - r(0, 1), r(0, 2) + r(2, 0), r(1, 2) + r(2, 1), 1 - r(0, 0) - r(1, 1) + r(2, 2)}};
    int row = 0;
    for (int i = 1; i < 4; ++i) {
        row = products[i][i] > products[row][row] ? i : row;
    }
    const auto& p = products[row];
    const double flip = p[0] < 0 ? -1 : 1; // w >= 0
    return {normalised({flip * p[0], flip * p[1], flip * p[2], flip * p[3]}), sign};
}

} // namespace tether::symmetry
