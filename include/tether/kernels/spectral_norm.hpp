// Power iterations on one weight matrix on a device (ops/spectral_norm.cpp), by a single block: matrices are
// small, and every product needs all of the last one. All sums run in a fixed order.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"

#include <cmath>

namespace tether::kernels {

// Sum of `threads` numbers in shared memory, by every thread for itself, after a barrier.
template <int Threads, class T>
TETHER_HD inline T sum_of_threads(const T* shared) {
    constexpr int chains = 8;
    T sum[chains] = {};
    for (int i = 0; i < Threads; i += chains) {
        for (int k = 0; k < chains; ++k) {
            sum[k] += shared[i + k];
        }
    }
    for (int stride = chains / 2; stride > 0; stride /= 2) {
        for (int k = 0; k < stride; ++k) {
            sum[k] += sum[k + stride];
        }
    }
    return sum[0];
}

// u <- W v / |W v|, v <- Wᵀ u / |Wᵀ u|, `iterations` times; then 1/sigma, sigma = uᵀ W v.
template <class T>
struct PowerIterations {
    static constexpr int threads = 128;
    struct Shared {
        T sum[threads];
    };
    struct Local {};

    const T *weight, *first_u, *first_v; // [rows x columns]
    Index rows, columns;
    int iterations;
    T *u, *v;
    T *inverse, *next_u, *next_v; // may be null

    // Start; four phases an iteration; W v and its product with u; the end.
    TETHER_HD Index phases(Index) const { return 4 * iterations + 3; }
    TETHER_HD void phase(Index p, Index, int thread, Shared& shared, Local&) const {
        if (p == 0) {
            copy(first_u, u, rows, thread);
            copy(first_v, v, columns, thread);
        } else if (p == phases(0) - 2) {
            T sum = 0;
            for (Index i = thread; i < rows; i += threads) {
                sum += u[i] * row_times_v(i);
            }
            shared.sum[thread] = sum;
        } else if (p == phases(0) - 1) {
            if (inverse != nullptr && thread == 0) {
                *inverse = T(1) / sum_of_threads<threads>(shared.sum);
            }
            if (next_u != nullptr) {
                copy(u, next_u, rows, thread);
                copy(v, next_v, columns, thread);
            }
        } else if (p % 4 == 1) { // u = W v
            T square = 0;
            for (Index i = thread; i < rows; i += threads) {
                u[i] = row_times_v(i);
                square += u[i] * u[i];
            }
            shared.sum[thread] = square;
        } else if (p % 4 == 3) { // v = Wᵀ u
            T square = 0;
            for (Index j = thread; j < columns; j += threads) {
                T sum = 0;
                for (Index i = 0; i < rows; ++i) {
                    sum += weight[i * columns + j] * u[i];
                }
                v[j] = sum;
                square += sum * sum;
            }
            shared.sum[thread] = square;
        } else {
            const T length = std::sqrt(sum_of_threads<threads>(shared.sum));
            const T norm = length > static_cast<T>(1e-12) ? length : static_cast<T>(1e-12);
            T* x = p % 4 == 2 ? u : v;
            const Index n = p % 4 == 2 ? rows : columns;
            for (Index i = thread; i < n; i += threads) {
                x[i] /= norm;
            }
        }
    }

private:
    TETHER_HD static void copy(const T* from, T* to, Index n, int thread) {
        for (Index i = thread; i < n; i += threads) {
            to[i] = from[i];
        }
    }
    TETHER_HD T row_times_v(Index i) const {
        T sum = 0;
        for (Index j = 0; j < columns; ++j) {
            sum += weight[i * columns + j] * v[j];
        }
        return sum;
    }
};

// <G, W> / sigma by a single block, into `factor`.
template <class T>
struct SpectralProduct {
    static constexpr int threads = 256;
    struct Shared {
        T sum[threads];
    };
    struct Local {};

    const T *gradient, *weight, *inverse;
    Index size;
    T* factor;
    TETHER_HD Index phases(Index) const { return 2; }
    TETHER_HD void phase(Index p, Index, int thread, Shared& shared, Local&) const {
        if (p == 0) {
            T sum = 0;
            for (Index i = thread; i < size; i += threads) {
                sum += gradient[i] * weight[i];
            }
            shared.sum[thread] = sum;
        } else if (thread == 0) {
            *factor = sum_of_threads<threads>(shared.sum) * *inverse;
        }
    }
};

template <class T>
struct SpectralGradientNumbers {
    const T *factor, *u, *v;
    Index columns;
    T* gradient;
    TETHER_HD void operator()(Index i) const { gradient[i] -= *factor * u[i / columns] * v[i % columns]; }
};

} // namespace tether::kernels
