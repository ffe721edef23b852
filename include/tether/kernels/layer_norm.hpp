// One row of a layer norm without weights: y = (x - mean) s, s = 1 / sqrt(variance + eps), mean and
// (biased) variance over the row's columns. Backward, means over columns:
// dx = s (dy - mean dy - y mean(dy y)).
#pragma once

#include "tether/kernels/batch_rows.hpp"
#include "tether/kernels/chunk.hpp"

#include <cmath>

namespace tether::kernels {

template <class T>
TETHER_HD inline T layer_norm_scale(T variance, T eps) {
    return T(1) / std::sqrt(variance + eps);
}
// dx of one number, or of a chunk of them.
template <class F, class T>
TETHER_HD inline F layer_norm_slope(T s, T mean, T product, const F& y, const F& dy) {
    return s * (dy - mean - product * y);
}

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
    const T s = layer_norm_scale(part * dot(y, y, n), eps);
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
        store_as<F>(dx + u, layer_norm_slope<F>(s, mean, product, load_as<F>(y + u), load_as<F>(dy + u)));
    });
}

// On a device: 32 threads to a row, 4 rows to a block. A thread takes every 32nd column; its sums are added
// to those of the others by every thread for itself, in one order.
struct LayerNormRows {
    static constexpr int threads = 128;
    static constexpr int width = 32; // threads of a row
    template <class T>
    struct Shared {
        T first[threads], second[threads];
    };
    TETHER_HD static constexpr Index blocks(Index rows) {
        return (rows + threads / width - 1) / (threads / width);
    }
    TETHER_HD static Index row(Index block, int thread) { return block * (threads / width) + thread / width; }
    template <class T>
    TETHER_HD static T total(const T* shared, int thread) {
        T sum[4] = {};
        const T* mine = shared + thread / width * width;
        for (int i = 0; i < width; i += 4) {
            for (int k = 0; k < 4; ++k) {
                sum[k] += mine[i + k];
            }
        }
        return (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }
};

template <class T>
struct LayerNormTeam {
    static constexpr int threads = LayerNormRows::threads;
    using Shared = LayerNormRows::Shared<T>;
    struct Local {
        T mean = 0;
    };
    RowCount rows;
    Index columns;
    T eps;
    const T* x;
    T *y, *scale; // scale may be null

    TETHER_HD Index phases(Index) const { return 3; }
    TETHER_HD void phase(Index p, Index block, int thread, Shared& shared, Local& local) const {
        const Index row = LayerNormRows::row(block, thread);
        const bool active = row < rows();
        const T* from = x + row * columns;
        const T part = T(1) / static_cast<T>(columns);
        const int first = thread % LayerNormRows::width;
        T sum = 0;
        if (p == 0) {
            for (Index c = first; active && c < columns; c += LayerNormRows::width) {
                sum += from[c];
            }
            shared.first[thread] = sum;
        } else if (p == 1) {
            local.mean = part * LayerNormRows::total(shared.first, thread);
            for (Index c = first; active && c < columns; c += LayerNormRows::width) {
                sum += (from[c] - local.mean) * (from[c] - local.mean);
            }
            shared.second[thread] = sum;
        } else if (active) {
            const T s = layer_norm_scale(part * LayerNormRows::total(shared.second, thread), eps);
            for (Index c = first; c < columns; c += LayerNormRows::width) {
                y[row * columns + c] = s * (from[c] - local.mean);
            }
            if (scale != nullptr && first == 0) {
                scale[row] = s;
            }
        }
    }
};

template <class T>
struct LayerNormBackwardTeam {
    static constexpr int threads = LayerNormRows::threads;
    using Shared = LayerNormRows::Shared<T>;
    struct Local {};
    RowCount rows;
    Index columns;
    const T *y, *dy, *scale;
    T* dx;

    TETHER_HD Index phases(Index) const { return 2; }
    TETHER_HD void phase(Index p, Index block, int thread, Shared& shared, Local&) const {
        const Index row = LayerNormRows::row(block, thread);
        const bool active = row < rows();
        const int first = thread % LayerNormRows::width;
        if (p == 0) {
            T sum = 0;
            T products = 0;
            for (Index at = row * columns + first; active && at < (row + 1) * columns;
                 at += LayerNormRows::width) {
                sum += dy[at];
                products += dy[at] * y[at];
            }
            shared.first[thread] = sum;
            shared.second[thread] = products;
        } else if (active) {
            const T part = T(1) / static_cast<T>(columns);
            const T mean = part * LayerNormRows::total(shared.first, thread);
            const T product = part * LayerNormRows::total(shared.second, thread);
            for (Index at = row * columns + first; at < (row + 1) * columns; at += LayerNormRows::width) {
                dx[at] = layer_norm_slope<T>(scale[row], mean, product, y[at], dy[at]);
            }
        }
    }
};

} // namespace tether::kernels
