// Batch norm on a device (ops/batch_norm.cpp): sums over the batch in double, then what every column and
// every number makes of them.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"
#include "tether/kernels/lane_sums.hpp"

#include <cmath>

namespace tether::kernels {

// Columns [0, n): x, [n, 2n): x², 2n: rows.
template <class T>
struct BatchMomentLeaf {
    const T* x;
    Index columns;
    TETHER_HD double operator()(Index row, Index c) const {
        if (c == 2 * columns) {
            return 1;
        }
        const auto value = static_cast<double>(x[row * columns + (c < columns ? c : c - columns)]);
        return c < columns ? value : value * value;
    }
};
// Columns [0, n): dy, [n, 2n): dy xh, 2n: rows.
template <class T>
struct BatchGradientLeaf {
    const T *dy, *normal;
    Index columns;
    TETHER_HD double operator()(Index row, Index c) const {
        if (c == 2 * columns) {
            return 1;
        }
        const Index at = row * columns + (c < columns ? c : c - columns);
        const auto d = static_cast<double>(dy[at]);
        return c < columns ? d : d * static_cast<double>(normal[at]);
    }
};

// Mean and s of a column from the sums of the batch's lanes (one: of all of them), or from the running
// statistics (sums null); renews these where there is a place for them.
template <class T>
struct BatchNormColumn {
    const double* sums; // [lanes x (2 columns + 1)]
    Index lanes;
    const T *mean, *variance, *batches;
    double eps, momentum;
    Index columns;
    double* scale;                                   // mean, then s [2 columns]
    T *s, *next_mean, *next_variance, *next_batches; // each may be null
    TETHER_HD void operator()(Index c) const {
        double m = 0;
        double v = 0;
        if (sums == nullptr) {
            m = static_cast<double>(mean[c]);
            v = static_cast<double>(variance[c]);
        } else {
            const double count = total(2 * columns);
            m = total(c) / count;
            v = total(columns + c) / count - m * m;
            v = v < 0 ? 0 : v;
            if (next_mean != nullptr) {
                const double unbiased = v * count / (count - 1 > 1 ? count - 1 : 1);
                const double keep = 1 - momentum;
                next_mean[c] = static_cast<T>(keep * static_cast<double>(mean[c]) + momentum * m);
                next_variance[c] =
                    static_cast<T>(keep * static_cast<double>(variance[c]) + momentum * unbiased);
            }
            if (next_batches != nullptr && c == 0) {
                *next_batches = *batches + T(1);
            }
        }
        scale[c] = m;
        scale[columns + c] = 1 / std::sqrt(v + eps);
        if (s != nullptr) {
            s[c] = static_cast<T>(scale[columns + c]);
        }
    }

private:
    [[nodiscard]] TETHER_HD double total(Index i) const {
        return tree_over_lanes(sums + i, lanes, 2 * columns + 1);
    }
};

template <class T>
struct BatchNormNumbers {
    const T *x, *weight, *bias;
    const double* scale;
    Index columns;
    T *y, *normal; // each may be null
    TETHER_HD void operator()(Index row, Index c) const {
        const Index at = row * columns + c;
        const T value = static_cast<T>((static_cast<double>(x[at]) - scale[c]) * scale[columns + c]);
        if (normal != nullptr) {
            normal[at] = value;
        }
        if (y != nullptr) {
            y[at] = weight[c] * value + bias[c];
        }
    }
};

// The batch's sums from those of the lanes, and the parameters' gradients, rounded lane by lane as the
// reduction of gradients adds them.
template <class T>
struct BatchGradientTotals {
    const double* partial; // [lanes x (2 columns + 1)]
    Index lanes, columns;
    double* sums;
    T *weight, *bias;
    TETHER_HD void operator()(Index c) const {
        const Index width = 2 * columns + 1;
        sums[c] = tree_over_lanes(partial + c, lanes, width);
        if (c < 2 * columns) {
            (c < columns ? bias[c] : weight[c - columns]) = tree_of_lanes<T>(
                lanes, [&](Index lane) { return static_cast<T>(partial[lane * width + c]); });
        }
    }
};

template <class T>
struct BatchNormBackwardNumbers {
    const T *dy, *normal, *s, *weight;
    const double* sums; // null: the statistics are constants
    Index columns;
    T* dx;
    TETHER_HD void operator()(Index row, Index c) const {
        const Index at = row * columns + c;
        double mean = 0;
        double product = 0;
        if (sums != nullptr) {
            mean = sums[c] / sums[2 * columns];
            product = sums[columns + c] / sums[2 * columns];
        }
        const double factor = static_cast<double>(weight[c]) * static_cast<double>(s[c]);
        dx[at] = static_cast<T>(
            factor * (static_cast<double>(dy[at]) - mean - static_cast<double>(normal[at]) * product));
    }
};

} // namespace tether::kernels
