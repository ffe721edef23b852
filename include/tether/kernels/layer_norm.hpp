// One row of a layer norm without weights: y = (x - mean) s, s = 1 / sqrt(variance + eps), mean and
// (biased) variance over the row's columns. Backward, means over columns:
// dx = s (dy - mean dy - y mean(dy y)).
#pragma once

#include "tether/kernels/chunk.hpp"

#include <cmath>

namespace tether::kernels {

// Returns s. y may be x.
template <class T>
TETHER_HD inline T layer_norm_row(Index n, T eps, const T* x, T* y) {
    const T part = T(1) / static_cast<T>(n);
    const T mean =
        part * sum_in_chunks<T>(n, [&](Index u, auto zero) { return load_as<decltype(zero)>(x + u); });
    in_chunks<T>(n, [&](Index u, auto zero) {
        using F = decltype(zero);
        store_as<F>(y + u, load_as<F>(x + u) - mean);
    });
    const T s = T(1) / std::sqrt(part * dot(y, y, n) + eps);
    in_chunks<T>(n, [&](Index u, auto zero) {
        using F = decltype(zero);
        store_as<F>(y + u, s * load_as<F>(y + u));
    });
    return s;
}

template <class T>
TETHER_HD inline void layer_norm_row_backward(Index n, T s, const T* y, const T* dy, T* dx) {
    const T part = T(1) / static_cast<T>(n);
    const T mean =
        part * sum_in_chunks<T>(n, [&](Index u, auto zero) { return load_as<decltype(zero)>(dy + u); });
    const T product = part * dot(dy, y, n);
    in_chunks<T>(n, [&](Index u, auto zero) {
        using F = decltype(zero);
        store_as<F>(dx + u, s * (load_as<F>(dy + u) - mean - product * load_as<F>(y + u)));
    });
}

// Item: row, for devices. A row is one thread's: rows are short, and there are many.
template <class T>
struct LayerNormRow {
    Index columns;
    T eps;
    const T* x;
    T *y, *scale; // scale may be null
    TETHER_HD void operator()(Index row) const {
        const T s = layer_norm_row(columns, eps, x + row * columns, y + row * columns);
        if (scale != nullptr) {
            scale[row] = s;
        }
    }
};
template <class T>
struct LayerNormBackwardRow {
    Index columns;
    const T *y, *dy, *scale;
    T* dx;
    TETHER_HD void operator()(Index row) const {
        layer_norm_row_backward(columns, scale[row], y + row * columns, dy + row * columns,
                                dx + row * columns);
    }
};

} // namespace tether::kernels
