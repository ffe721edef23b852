// Activations: value and slope together, because training keeps the slope for the reverse pass
// (one exponential instead of two). GELU is the exact form x Φ(x).
#pragma once

#include "tether/kernels/math.hpp"

namespace tether {

enum class Activation : unsigned char { none, silu, gelu, sigmoid, tanh, relu };

namespace kernels {

template <class T>
struct ValueSlope {
    T value, slope;
};

template <Activation kind, class T>
TETHER_HD ValueSlope<T> activate(T x) {
    if constexpr (kind == Activation::silu) {
        const T s = sigmoid(x);
        return {x * s, s * (T(1) + x * (T(1) - s))};
    } else if constexpr (kind == Activation::gelu) {
        const Normal<T> n = normal(x);
        return {x * n.distribution, n.distribution + x * n.density};
    } else if constexpr (kind == Activation::sigmoid) {
        const T s = sigmoid(x);
        return {s, s * (T(1) - s)};
    } else if constexpr (kind == Activation::tanh) {
        const T s = T(2) * sigmoid(T(2) * x) - T(1);
        return {s, T(1) - s * s};
    } else if constexpr (kind == Activation::relu) {
        return {x > 0 ? x : T(0), x > 0 ? T(1) : T(0)};
    } else {
        return {x, T(1)};
    }
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
    }
}

} // namespace kernels
} // namespace tether
