// Equivariance errors of an output (methods.md 6), from f(phi(g)x) and rho(g) f(x) for random g:
//     error      mean over rows and g of |d|, d = f(phi(g)x) - rho(g)f(x); smallest and largest |d_k|
//     relative   the same divided by the mean over rows of |f(x)|
//     E'         |d| over all rows and columns of a sample, mean over samples and g
//     E          |mean over g of d| of a sample, mean over samples
// All sums are in double and kept apart from the quotients, so that parts of a data set (batches,
// lanes, ranks) can be measured separately and added in any fixed order.
#pragma once

#include "tether/core/types.hpp"

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace tether::methods {

struct EquivarianceError {
    double mean = 0;
    double minimum = 0; // smallest |component| of a difference
    double maximum = 0; // largest
    double relative = 0;
    double sample_mean = 0; // E'
    double averaged = 0;    // E
};

struct EquivarianceSums {
    double row_norms = 0;    // of differences, over rows and g
    double output_norms = 0; // of f(x), over rows
    double sample_norms = 0; // over samples and g
    double averaged = 0;     // over samples
    double minimum = std::numeric_limits<double>::infinity();
    double maximum = 0;
    Index rows = 0; // rows x g
    Index output_rows = 0;
    Index samples = 0; // samples x g
    Index averaged_samples = 0;

    EquivarianceSums& operator+=(const EquivarianceSums& other);
    // Zeros where nothing was measured. A component that is not a number gives NaN, never a small error.
    [[nodiscard]] EquivarianceError error() const;
};

// One batch: begin() with f(x), then add() once per group element, then sums().
class EquivarianceMeasure {
public:
    // output: f(x), [rows x width] row-major. sample_begin: first row of each sample and, last, the
    // number of rows.
    template <class T>
    void begin(std::span<const T> output, Index width, std::span<const std::int32_t> sample_begin);

    // f(phi(g)x) and rho(g)f(x), both [rows x width], for one g (which may differ between samples).
    template <class T>
    void add(std::span<const T> of_turned, std::span<const T> turned);

    [[nodiscard]] EquivarianceSums sums() const;

private:
    std::size_t width_ = 1;
    Index elements_ = 0; // group elements so far
    std::vector<std::int32_t> sample_begin_;
    std::vector<double> difference_; // sum over g
    EquivarianceSums sums_;
};

extern template void EquivarianceMeasure::begin(std::span<const float>, Index, std::span<const std::int32_t>);
extern template void EquivarianceMeasure::begin(std::span<const double>, Index,
                                                std::span<const std::int32_t>);
extern template void EquivarianceMeasure::add(std::span<const float>, std::span<const float>);
extern template void EquivarianceMeasure::add(std::span<const double>, std::span<const double>);

} // namespace tether::methods
