// Instance norm of one copy of an irrep in one graph (spec: models, section 2): with s = 1/sqrt(mean x² +
// eps), xh = s (x - m): y = w xh + b and dx = s (dxh - mean dxh [centred only] - xh mean(dxh xh)), means over
// the graph's nodes and the components, in double.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"

#include <cmath>
#include <cstdint>

namespace tether::kernels {

// Where the numbers of a copy lie: f(place) for components m of nodes i.
struct InstanceCopy {
    Index first, last; // nodes of the graph
    Index row;         // columns of a row
    Index column;      // of component 0
    Index components, stride;
    bool centred;
    template <class F>
    TETHER_HD void each(const F& f) const {
        for (Index i = first; i < last; ++i) {
            for (Index m = 0; m < components; ++m) {
                f(i * row + column + m * stride);
            }
        }
    }
    [[nodiscard]] TETHER_HD double count() const {
        const Index n = (last - first) * components;
        return static_cast<double>(n > 1 ? n : 1);
    }
};

// y and normal [as x], normal may be null; returns s.
template <class T>
TETHER_HD inline double instance_norm_copy(const InstanceCopy& copy, double eps, const T* x, T weight, T bias,
                                           T* y, T* normal) {
    const double count = copy.count();
    double mean = 0;
    if (copy.centred) {
        for (Index i = copy.first; i < copy.last; ++i) {
            mean += static_cast<double>(x[i * copy.row + copy.column]);
        }
        mean /= count;
    }
    double square = 0;
    copy.each([&](Index at) {
        const double d = static_cast<double>(x[at]) - mean;
        square += d * d;
    });
    const double s = 1 / std::sqrt(square / count + eps);
    copy.each([&](Index at) {
        const T value = static_cast<T>((static_cast<double>(x[at]) - mean) * s);
        y[at] = weight * value + bias;
        if (normal != nullptr) {
            normal[at] = value;
        }
    });
    return s;
}

template <class T>
TETHER_HD inline void instance_norm_copy_backward(const InstanceCopy& copy, double weight, double s,
                                                  const T* dy, const T* normal, T* dx) {
    const double count = copy.count();
    double mean = 0;
    double product = 0;
    copy.each([&](Index at) {
        const double d = weight * static_cast<double>(dy[at]);
        mean += d;
        product += d * static_cast<double>(normal[at]);
    });
    mean = copy.centred ? mean / count : 0;
    product /= count;
    copy.each([&](Index at) {
        const double d = weight * static_cast<double>(dy[at]);
        dx[at] = static_cast<T>(s * (d - mean - static_cast<double>(normal[at]) * product));
    });
}

// A copy, without the graph, in a device's table.
struct InstanceColumn {
    std::int32_t column, components, stride, centred;
    [[nodiscard]] TETHER_HD InstanceCopy in(const std::int32_t* node_begin, Index graph, Index row) const {
        return {node_begin[graph], node_begin[graph + 1], row, column, components, stride, centred != 0};
    }
};

// Item (graph, copy).
template <class T>
struct InstanceNormCopies {
    const InstanceColumn* copies;
    const std::int32_t* node_begin;
    double eps;
    const T *x, *weight, *bias;
    Index columns, copy_count;
    T *y, *normal, *scale; // the last two may be null
    TETHER_HD void operator()(Index graph, Index k) const {
        const InstanceCopy copy = copies[k].in(node_begin, graph, columns);
        const double s =
            instance_norm_copy(copy, eps, x, weight[k], copy.centred ? bias[k] : T(0), y, normal);
        if (scale != nullptr) {
            scale[graph * copy_count + k] = static_cast<T>(s);
        }
    }
};
template <class T>
struct InstanceNormBackwardCopies {
    const InstanceColumn* copies;
    const std::int32_t* node_begin;
    const T *dy, *normal, *scale, *weight;
    Index columns, copy_count;
    T* dx;
    TETHER_HD void operator()(Index graph, Index k) const {
        instance_norm_copy_backward(copies[k].in(node_begin, graph, columns), static_cast<double>(weight[k]),
                                    static_cast<double>(scale[graph * copy_count + k]), dy, normal, dx);
    }
};

// What a row adds to the gradient of a copy's weight, or of its bias (normal null).
template <class T>
struct InstanceParameterLeaf {
    const InstanceColumn* copies;
    const T *dy, *normal;
    Index columns;
    TETHER_HD T operator()(Index row, Index k) const {
        T sum = 0;
        const InstanceColumn& copy = copies[k];
        const Index first = row * columns + copy.column;
        for (std::int32_t m = 0; m < copy.components; ++m) {
            const Index at = first + static_cast<Index>(m) * copy.stride;
            sum += normal == nullptr ? dy[at] : dy[at] * normal[at];
        }
        return sum;
    }
};

} // namespace tether::kernels
