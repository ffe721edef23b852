// Arithmetic of small dense matrices; sizes are checked, since group elements and blocks come from
// files and callers.
#include "tether/symmetry/matrix.hpp"

#include "tether/core/error.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

namespace tether::symmetry {

Matrix Matrix::identity(Index n) {
    Matrix one(n, n);
    for (Index i = 0; i < n; ++i) {
        one(i, i) = 1;
    }
    return one;
}

Matrix operator*(const Matrix& a, const Matrix& b) {
    check(a.columns == b.rows, "matrix product: {}x{} times {}x{}", a.rows, a.columns, b.rows, b.columns);
    Matrix out(a.rows, b.columns);
    for (Index i = 0; i < a.rows; ++i) {
        for (Index k = 0; k < a.columns; ++k) {
            const double factor = a(i, k);
            for (Index j = 0; j < b.columns; ++j) {
                out(i, j) += factor * b(k, j);
            }
        }
    }
    return out;
}

Matrix operator*(double factor, Matrix a) {
    for (double& value : a.values) {
        value *= factor;
    }
    return a;
}

Matrix operator+(Matrix a, const Matrix& b) {
    check(a.rows == b.rows && a.columns == b.columns, "matrix sum: {}x{} and {}x{}", a.rows, a.columns,
          b.rows, b.columns);
    std::ranges::transform(a.values, b.values, a.values.begin(), std::plus<>{});
    return a;
}

Matrix operator-(Matrix a, const Matrix& b) { return std::move(a) + (-1.0) * b; }

Matrix transposed(const Matrix& a) {
    Matrix out(a.columns, a.rows);
    for (Index i = 0; i < a.rows; ++i) {
        for (Index j = 0; j < a.columns; ++j) {
            out(j, i) = a(i, j);
        }
    }
    return out;
}

void add_block(Matrix& to, Index at, const Matrix& block) {
    check(at >= 0 && at + block.rows <= to.rows && at + block.columns <= to.columns,
          "block of {}x{} at {} does not fit a matrix of {}x{}", block.rows, block.columns, at, to.rows,
          to.columns);
    for (Index i = 0; i < block.rows; ++i) {
        for (Index j = 0; j < block.columns; ++j) {
            to(at + i, at + j) += block(i, j);
        }
    }
}

double largest_entry(const Matrix& a) {
    double largest = 0;
    for (const double value : a.values) {
        largest = std::max(largest, std::abs(value));
    }
    return largest;
}

} // namespace tether::symmetry
