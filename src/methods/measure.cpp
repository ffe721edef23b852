// See measure.hpp.
#include "tether/methods/measure.hpp"

#include "tether/core/error.hpp"

#include <cmath>

namespace tether::methods {
namespace {

double square(double x) { return x * x; }

double quotient(double sum, double count) { return count == 0 ? 0.0 : sum / count; }

} // namespace

EquivarianceSums& EquivarianceSums::operator+=(const EquivarianceSums& other) {
    row_norms += other.row_norms;
    output_norms += other.output_norms;
    sample_norms += other.sample_norms;
    averaged += other.averaged;
    minimum = other.minimum < minimum ? other.minimum : minimum;
    maximum = other.maximum > maximum ? other.maximum : maximum;
    rows += other.rows;
    output_rows += other.output_rows;
    samples += other.samples;
    averaged_samples += other.averaged_samples;
    return *this;
}

EquivarianceError EquivarianceSums::error() const {
    EquivarianceError e;
    e.mean = quotient(row_norms, static_cast<double>(rows));
    // Comparisons pass over NaN, sums do not: the sum of norms says whether all were numbers.
    const bool finite = std::isfinite(row_norms);
    e.minimum = rows == 0 ? 0.0 : (finite ? minimum : row_norms);
    e.maximum = finite ? maximum : row_norms;
    e.relative = quotient(e.mean, quotient(output_norms, static_cast<double>(output_rows)));
    e.sample_mean = quotient(sample_norms, static_cast<double>(samples));
    e.averaged = quotient(averaged, static_cast<double>(averaged_samples));
    return e;
}

template <class T>
void EquivarianceMeasure::begin(std::span<const T> output, Index width,
                                std::span<const std::int32_t> sample_begin) {
    check(width >= 1 && !sample_begin.empty() && sample_begin.front() == 0 &&
              static_cast<Index>(output.size()) == width * sample_begin.back(),
          "equivariance error: {} numbers for {} rows of width {}", output.size(),
          sample_begin.empty() ? 0 : sample_begin.back(), width);
    width_ = static_cast<std::size_t>(width);
    elements_ = 0;
    sample_begin_.assign(sample_begin.begin(), sample_begin.end());
    difference_.assign(output.size(), 0.0);
    sums_ = {};
    for (std::size_t row = 0; row < output.size(); row += width_) {
        double squared = 0;
        for (std::size_t k = 0; k < width_; ++k) {
            squared += square(static_cast<double>(output[row + k]));
        }
        sums_.output_norms += std::sqrt(squared);
        ++sums_.output_rows;
    }
}

template <class T>
void EquivarianceMeasure::add(std::span<const T> of_turned, std::span<const T> turned) {
    check(of_turned.size() == difference_.size() && turned.size() == difference_.size(),
          "equivariance error: {} and {} numbers, expected {} of each", of_turned.size(), turned.size(),
          difference_.size());
    ++elements_;
    for (std::size_t s = 0; s + 1 < sample_begin_.size(); ++s) {
        const auto first = static_cast<std::size_t>(sample_begin_[s]) * width_;
        const auto last = static_cast<std::size_t>(sample_begin_[s + 1]) * width_;
        double of_sample = 0;
        for (std::size_t row = first; row < last; row += width_) {
            double of_row = 0;
            for (std::size_t i = row; i < row + width_; ++i) {
                const double d = static_cast<double>(of_turned[i]) - static_cast<double>(turned[i]);
                const double size = std::abs(d);
                sums_.minimum = size < sums_.minimum ? size : sums_.minimum;
                sums_.maximum = size > sums_.maximum ? size : sums_.maximum;
                difference_[i] += d;
                of_row += d * d;
            }
            sums_.row_norms += std::sqrt(of_row);
            ++sums_.rows;
            of_sample += of_row;
        }
        sums_.sample_norms += std::sqrt(of_sample);
        ++sums_.samples;
    }
}

EquivarianceSums EquivarianceMeasure::sums() const {
    EquivarianceSums all = sums_;
    if (elements_ == 0) {
        return all;
    }
    for (std::size_t s = 0; s + 1 < sample_begin_.size(); ++s) {
        const auto first = static_cast<std::size_t>(sample_begin_[s]) * width_;
        const auto last = static_cast<std::size_t>(sample_begin_[s + 1]) * width_;
        double squared = 0;
        for (std::size_t i = first; i < last; ++i) {
            squared += square(difference_[i] / static_cast<double>(elements_));
        }
        all.averaged += std::sqrt(squared);
        ++all.averaged_samples;
    }
    return all;
}

template void EquivarianceMeasure::begin(std::span<const float>, Index, std::span<const std::int32_t>);
template void EquivarianceMeasure::begin(std::span<const double>, Index, std::span<const std::int32_t>);
template void EquivarianceMeasure::add(std::span<const float>, std::span<const float>);
template void EquivarianceMeasure::add(std::span<const double>, std::span<const double>);

} // namespace tether::methods
