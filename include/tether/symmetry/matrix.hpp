// A small dense matrix in double precision, row-major: representations of a group element,
// generators. Not for the step of a network (that is device::gemm's work).
#pragma once

#include "tether/core/types.hpp"

#include <vector>

namespace tether::symmetry {

struct Matrix {
    Index rows = 0, columns = 0;
    std::vector<double> values;

    Matrix() = default;
    Matrix(Index row_count, Index column_count)
        : rows(row_count), columns(column_count), values(static_cast<std::size_t>(row_count * column_count)) {
    }
    [[nodiscard]] static Matrix identity(Index n);

    double& operator()(Index row, Index column) {
        return values[static_cast<std::size_t>(row * columns + column)];
    }
    double operator()(Index row, Index column) const {
        return values[static_cast<std::size_t>(row * columns + column)];
    }
};

[[nodiscard]] Matrix operator*(const Matrix& a, const Matrix& b);
[[nodiscard]] Matrix operator*(double factor, Matrix a);
[[nodiscard]] Matrix operator+(Matrix a, const Matrix& b);
[[nodiscard]] Matrix operator-(Matrix a, const Matrix& b);
[[nodiscard]] Matrix transposed(const Matrix& a);
// Block-diagonal matrix: adds `block` with its corner at (at, at).
void add_block(Matrix& to, Index at, const Matrix& block);
// Largest absolute entry.
[[nodiscard]] double largest_entry(const Matrix& a);

} // namespace tether::symmetry
