// Activations: value and slope together, because training keeps the slope for the reverse pass
// (one exponential instead of two). GELU is the exact form x Φ(x), leaky ReLU
// has the slope 0.01.
#pragma once

#include "tether/core/types.hpp"
#include "tether/kernels/math.hpp"

namespace tether {

enum class Activation : unsigned char { none, silu, gelu, sigmoid, tanh, relu, leaky_relu };

namespace kernels {

template <class T>
struct ValueSlope {
    T value, slope;
};

template <Activation kind, class F>
TETHER_HD inline ValueSlope<F> activate(F x) {
    using N = Number<F>;
    if constexpr (kind == Activation::silu) {
        const F s = sigmoid(x);
        return {x * s, s * (N(1) + x * (N(1) - s))};
    } else if constexpr (kind == Activation::gelu) {
        const Normal<F> n = normal(x);
        return {x * n.distribution, n.distribution + x * n.density};
    } else if constexpr (kind == Activation::sigmoid) {
        const F s = sigmoid(x);
        return {s, s * (N(1) - s)};
    } else if constexpr (kind == Activation::tanh) {
        const F s = N(2) * sigmoid(N(2) * x) - N(1);
        return {s, N(1) - s * s};
    } else if constexpr (kind == Activation::relu) {
        return {x > N(0) ? x : F{}, x > N(0) ? F{} + N(1) : F{}};
    } else if constexpr (kind == Activation::leaky_relu) {
        const F low = F{} + N(0.01);
        return {x > N(0) ? x : x * low, x > N(0) ? F{} + N(1) : low};
    } else {
        return {x, F{} + N(1)};
    }
}

// y[i], slope[i] of x[i]; y may be x; slope may be null. On the host every number goes through the same
// vector code, the last ones in a padded chunk: compilers may fuse a lone number's operations another
// way, and which numbers are the last ones depends on how lanes are grouped.
template <Activation kind, class T>
TETHER_HD inline void activate_all(const T* x, T* y, T* slope, Index n) {
#if defined(TETHER_CHUNK_VECTORS)
    constexpr Index width = chunk_width<T>;
    Index i = 0;
    for (; i + width <= n; i += width) {
        const auto v = activate<kind>(load_chunk(x + i));
        store_chunk(y + i, v.value);
        if (slope != nullptr) {
            store_chunk(slope + i, v.slope);
        }
    }
    if (i < n) {
        T padded[width] = {};
        for (Index k = 0; i + k < n; ++k) {
            padded[k] = x[i + k];
        }
        const auto v = activate<kind>(load_chunk(padded));
        for (Index k = 0; i + k < n; ++k) {
            y[i + k] = v.value[k];
            if (slope != nullptr) {
                slope[i + k] = v.slope[k];
            }
        }
    }
#else
    for (Index i = 0; i < n; ++i) {
        const auto v = activate<kind>(x[i]);
        y[i] = v.value;
        if (slope != nullptr) {
            slope[i] = v.slope;
        }
    }
#endif
}

// Calls f with the activation as a compile-time constant.
template <class F>
void with_activation(Activation kind, F&& f) {
    switch (kind) {
    case Activation::none: f.template operator()<Activation::none>(); break;
    case Activation::silu: f.template operator()<Activation::silu>(); break;
    case Activation::gelu: f.template operator()<Activation::gelu>(); break;
    case Activation::sigmoid: f.template operator()<Activation::sigmoid>(); break;
    case Activation::tanh: f.template operator()<Activation::tanh>(); break;
    case Activation::relu: f.template operator()<Activation::relu>(); break;
    case Activation::leaky_relu: f.template operator()<Activation::leaky_relu>(); break;
    }
}

} // namespace kernels
} // namespace tether
