// What element-wise operations do with one number or row on a device.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"
#include "tether/kernels/activation.hpp"
#include "tether/kernels/lane_sums.hpp"

#include <cmath>

namespace tether::kernels {

inline constexpr int most_added = 8;

template <class T>
struct AddNumbers {
    const T* x[most_added];
    int count;
    T* out;
    TETHER_HD void operator()(Index i) const {
        T sum = x[0][i] + x[1][i];
        for (int k = 2; k < count; ++k) {
            sum += x[k][i];
        }
        out[i] = sum;
    }
};

template <class T>
struct MultiplyNumbers {
    const T* x;
    const T* y;
    T* out;
    TETHER_HD void operator()(Index i) const { out[i] = x[i] * y[i]; }
};

template <class T>
struct ScaleNumbers {
    const T* x;
    T factor;
    T* out;
    TETHER_HD void operator()(Index i) const { out[i] = factor * x[i]; }
};

template <class T>
struct ScaleNumbersBy {
    const T* x;
    const T* factor;
    T* out;
    TETHER_HD void operator()(Index i) const { out[i] = *factor * x[i]; }
};

template <class T>
struct GatedAddNumbers {
    const T* x;
    const T* gate;
    const T* y;
    T* out;
    TETHER_HD void operator()(Index i) const { out[i] = x[i] + *gate * y[i]; }
};

template <class T>
struct ScaleRowNumbers {
    const T* x;
    const T* factor; // one per row
    T* out;
    Index columns;
    TETHER_HD void operator()(Index row, Index c) const {
        out[row * columns + c] = x[row * columns + c] * factor[row];
    }
};

template <class T>
struct DotRow {
    const T* x;
    const T* y;
    T* out;
    Index columns;
    TETHER_HD void operator()(Index row) const {
        T sum = 0;
        for (Index c = 0; c < columns; ++c) {
            sum += x[row * columns + c] * y[row * columns + c];
        }
        out[row] = sum;
    }
};

template <class T>
struct NormRow {
    const T* x;
    T* norm;
    T* unit; // may be null; 0 for the zero vector
    Index columns;
    TETHER_HD void operator()(Index row) const {
        T sum = 0;
        for (Index c = 0; c < columns; ++c) {
            sum += x[row * columns + c] * x[row * columns + c];
        }
        const T length = std::sqrt(sum);
        norm[row] = length;
        if (unit != nullptr) {
            for (Index c = 0; c < columns; ++c) {
                unit[row * columns + c] = length > 0 ? x[row * columns + c] / length : T(0);
            }
        }
    }
};

template <class T, Activation kind>
struct ActivateNumbers {
    const T* x;
    T* y;
    T* slope; // may be null
    TETHER_HD void operator()(Index i) const {
        const auto v = activate<kind>(x[i]);
        y[i] = v.value;
        if (slope != nullptr) {
            slope[i] = v.slope;
        }
    }
};

template <class T>
struct ClampNumbers {
    const T* x;
    T bound;
    T* y;
    T* slope; // may be null
    TETHER_HD void operator()(Index i) const {
        y[i] = x[i] < -bound ? -bound : (bound < x[i] ? bound : x[i]);
        if (slope != nullptr) {
            slope[i] = x[i] >= -bound && x[i] <= bound ? T(1) : T(0);
        }
    }
};

// Columns [from, from + count) of the input at [to, to + count) of the output, 0 elsewhere.
template <class T>
struct CopyColumnsNumbers {
    const T* x;
    T* out;
    Index in_columns, out_columns, from, to, count;
    TETHER_HD void operator()(Index row, Index c) const {
        const Index k = c - to;
        out[row * out_columns + c] = k >= 0 && k < count ? x[row * in_columns + from + k] : T(0);
    }
};

// Columns of several inputs side by side.
template <class T>
struct ColumnPlace {
    const T* x; // row 0
    Index stride;
};
template <class T>
struct ConcatenateNumbers {
    const ColumnPlace<T>* places;
    T* out;
    Index columns;
    TETHER_HD void operator()(Index row, Index c) const {
        out[row * columns + c] = places[c].x[row * places[c].stride];
    }
};
// The same as a leaf of sums, with a last column of ones.
template <class T>
struct SideBySideLeaf {
    const ColumnPlace<T>* places;
    Index count;
    TETHER_HD T operator()(Index row, Index c) const {
        return c < count ? places[c].x[row * places[c].stride] : T(1);
    }
};

template <class T>
struct PermuteNumbers {
    const T* x;
    const Index* order;
    T* out;
    Index columns;
    TETHER_HD void operator()(Index row, Index c) const {
        out[row * columns + c] = x[row * columns + order[c]];
    }
};

template <class T>
struct SetColumnNumbers {
    const T* x;
    T* out;
    Index columns, column;
    T value;
    TETHER_HD void operator()(Index row, Index c) const {
        out[row * columns + c] = c == column ? value : x[row * columns + c];
    }
};

template <class T>
struct AddBiasNumbers {
    const T* x;
    const T* bias;
    T* out;
    Index columns;
    TETHER_HD void operator()(Index row, Index c) const {
        out[row * columns + c] = x[row * columns + c] + bias[c];
    }
};

template <class T>
struct SetNumbers {
    T* out;
    T value;
    TETHER_HD void operator()(Index i) const { out[i] = value; }
};

template <class T>
struct CopyNumbers {
    const T* from;
    T* to;
    TETHER_HD void operator()(Index i) const { to[i] = from[i]; }
};

template <class T>
struct AddToNumbers {
    const T* from;
    T* to;
    TETHER_HD void operator()(Index i) const { to[i] += from[i]; }
};

// Squared and absolute errors and their gradients, times factor · cotangent.
template <class T>
struct ErrorSlopeNumbers {
    const T* prediction;
    const T* target;
    const T* factor;
    const T* cotangent;
    bool squared;
    T* out;
    TETHER_HD void operator()(Index i) const {
        const T f = *factor * *cotangent;
        const T d = prediction[i] - target[i];
        out[i] = squared ? T(2) * f * d : (d > 0 ? f : (d < 0 ? -f : T(0)));
    }
};
template <class T>
struct ErrorLeaf {
    const T* prediction;
    const T* target;
    bool squared;
    TETHER_HD T operator()(Index i, Index) const {
        const T d = prediction[i] - target[i];
        return squared ? d * d : (d < 0 ? -d : d);
    }
};
// The total of factor · sum over a lane: scaled lane by lane, so that it is the same on any number of
// devices.
template <class T>
struct ScaledLaneTotal {
    const T* partial; // [lanes]
    Index lanes;
    const T* factor;
    T* out;
    TETHER_HD void operator()(Index) const {
        *out = tree_of_lanes<T>(lanes, [&](Index lane) { return *factor * partial[lane]; });
    }
};

// Leaves of sums over lanes (lane_sums.hpp), and what is done with a total.
template <class T>
struct ProductLeaf {
    const T* x;
    const T* y;
    TETHER_HD T operator()(Index i, Index) const { return x[i] * y[i]; }
};
template <class T>
struct ColumnLeaf {
    const T* x;
    Index stride;
    TETHER_HD T operator()(Index row, Index c) const { return x[row * stride + c]; }
};
template <class T>
struct PutTotal {
    T* out;
    TETHER_HD void operator()(Index c, T total) const { out[c] = total; }
};

} // namespace tether::kernels
