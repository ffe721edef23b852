// The update of a critic on a device: one Adam step, then both matrices scaled so that their largest singular
// value s is at most modulation_cap. With M = WᵀW (64 x 64), s² = lim (tr M^p)^(1/p): M is squared again and
// again, divided by its trace t_k each time, so that log s² = sum of log(t_k) / 2^k; these bounds fall, and
// whoever is below the cap needs no more of them.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"
#include "tether/kernels/adam.hpp"
#include "tether/kernels/modulation.hpp"

#include <cmath>

namespace tether::kernels {

// next = (v, moments) after one step with the gradient scale · gradient, scale the product of two numbers.
template <class T>
struct CriticAdam {
    double learning_rate;
    const T *gradient, *by, *rate, *v, *first, *second, *count;
    T *next_v, *next_first, *next_second;
    TETHER_HD void operator()(Index i) const {
        const Adam<T> adam({}, learning_rate, static_cast<Index>(*count) + 1,
                           static_cast<double>(*by) * static_cast<double>(*rate));
        T x = v[i];
        T m = first[i];
        T n = second[i];
        adam(x, gradient[i], m, n);
        next_v[i] = x;
        next_first[i] = m;
        next_second[i] = n;
    }
};

// Block 0: the first weight, block 1: the second; both have 64 columns. A thread has 4 x 4 elements of M.
template <class T>
struct CriticClip {
    static constexpr int threads = 256;
    static constexpr int n = static_cast<int>(modulation_hidden);
    static constexpr int own = 4;
    static constexpr Index most_squarings = 50; // 2^-50 log 64 is nothing
    struct Shared {
        double m[n][n];
        double trace[n]; // diagonal of what is being made
        double log_square;
        bool done;
    };
    struct Local {
        double m[own][own] = {};
        bool done = false; // as it was when the phase at hand, or the one before, began
    };
    CriticShape shape;
    T* v;
    const T* count; // updates, which become one more
    T* next_count;

    // M, normalised; squared and normalised so many times; scaled.
    TETHER_HD Index phases(Index) const { return 2 * most_squarings + 3; }
    TETHER_HD void phase(Index p, Index block, int thread, Shared& shared, Local& local) const {
        T* weight = v + (block == 0 ? 0 : shape.second());
        const Index rows = block == 0 ? shape.in : modulation_size;
        if (p + 1 == phases(block)) {
            scale(weight, rows * n, thread, shared);
            if (block == 0 && thread == 0) {
                *next_count = *count + T(1);
            }
        } else if (p == 0) {
            local = {};
            for (Index k = 0; k < rows; ++k) {
                add(local, thread, weight + k * n, weight + k * n);
            }
            put_diagonal(thread, shared, local);
        } else if (p % 2 == 0) {
            local = {};
            local.done = shared.done;
            if (local.done) {
                return;
            }
            for (int k = 0; k < n; ++k) {
                add(local, thread, shared.m[k], shared.m[k]);
            }
            put_diagonal(thread, shared, local);
        } else if (!local.done) {
            normalise(p / 2, thread, shared, local);
        }
    }

private:
    TETHER_HD static int row(int thread) { return thread / (n / own) * own; }
    TETHER_HD static int column(int thread) { return thread % (n / own) * own; }
    template <class X>
    TETHER_HD static void add(Local& local, int thread, const X* a, const X* b) {
        for (int i = 0; i < own; ++i) {
            for (int j = 0; j < own; ++j) {
                local.m[i][j] +=
                    static_cast<double>(a[row(thread) + i]) * static_cast<double>(b[column(thread) + j]);
            }
        }
    }
    TETHER_HD static void put_diagonal(int thread, Shared& shared, const Local& local) {
        for (int i = 0; row(thread) == column(thread) && i < own; ++i) {
            shared.trace[row(thread) + i] = local.m[i][i];
        }
    }
    TETHER_HD static void normalise(Index squarings, int thread, Shared& shared, const Local& local) {
        double trace = 0;
        for (int i = 0; i < n; ++i) {
            trace += shared.trace[i];
        }
        for (int i = 0; i < own; ++i) {
            for (int j = 0; j < own; ++j) {
                shared.m[row(thread) + i][column(thread) + j] = trace > 0 ? local.m[i][j] / trace : 0.0;
            }
        }
        if (thread == 0) {
            const double part = trace > 0 ? std::ldexp(std::log(trace), -static_cast<int>(squarings)) : 0.0;
            shared.log_square = squarings == 0 ? part : shared.log_square + part;
            shared.done = !(trace > 0) || (squarings > 0 && part == 0) ||
                          shared.log_square <= 2 * std::log(modulation_cap);
        }
    }
    TETHER_HD static void scale(T* weight, Index count, int thread, const Shared& shared) {
        const double largest = std::exp(shared.log_square / 2);
        if (!(largest > modulation_cap)) {
            return;
        }
        for (Index i = thread; i < count; i += threads) {
            weight[i] = static_cast<T>(static_cast<double>(weight[i]) * (modulation_cap / largest));
        }
    }
};

} // namespace tether::kernels
