// Functions shared by all kernels, written once for host and device, for one number or a chunk. The
// float versions are branch-free; the double versions call the mathematical library because double is
// for verification.
//   exp:  2^n · 2^f by a minimax polynomial, relative error about 1e-7 with rounding (fitted to 4e-9)
//   erfc: exp(-t²) · P(w), w = 1/(1 + 0.3 t), P fitted for relative error 2e-8 (our own fit)
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/kernels/chunk.hpp"

#include <bit>
#include <cmath>
#include <cstdint>

namespace tether::kernels {

// The same text for one number and for a chunk of them: F is float or Chunk<float>.
TETHER_HD inline std::int32_t to_integer(float x) { return static_cast<std::int32_t>(x); }
TETHER_HD inline float from_bits(std::int32_t bits) {
#if defined(__CUDA_ARCH__)
    return __int_as_float(bits);
#else
    return std::bit_cast<float>(bits);
#endif
}
#if defined(TETHER_CHUNK_VECTORS)
typedef std::int32_t IntegerChunk __attribute__((vector_size(64)));
[[gnu::always_inline]] inline IntegerChunk to_integer(Chunk<float> x) {
    return __builtin_convertvector(x, IntegerChunk);
}
[[gnu::always_inline]] inline Chunk<float> from_bits(IntegerChunk bits) {
    return std::bit_cast<Chunk<float>>(bits);
}
#endif

template <class F>
TETHER_HD inline F exponential_of(F x) {
    // Outside this range the result would be infinite or denormal; both are clamped.
    x = x < -87.0F ? F{} - 87.0F : x;
    x = x > 88.0F ? F{} + 88.0F : x;
    const F scaled = x * 1.44269504088896341F;
    // Adding 1.5·2^23 rounds to the nearest integer and leaves it in the low mantissa bits.
    const F shifted = scaled + 12582912.0F;
    const F n = shifted - 12582912.0F;
    // x - n ln 2 in two pieces (the first has few bits, so that its product with n is exact).
    const F r = (x - n * 0.693145751953125F) - n * 1.42860682030941723212e-6F;
    // exp(r) on [-ln2/2, ln2/2]
    F p = 1.3811661067e-3F * r + 8.3701349290e-3F;
    p = p * r + 4.1668528302e-2F;
    p = p * r + 1.6666508716e-1F;
    p = p * r + 4.9999992629e-1F;
    p = p * r * r + r + 1.0F;
    return p * from_bits((to_integer(n) + 127) << 23);
}
TETHER_HD inline float exponential(float x) { return exponential_of(x); }
TETHER_HD inline double exponential(double x) { return std::exp(x); }
#if defined(TETHER_CHUNK_VECTORS)
[[gnu::always_inline]] inline Chunk<float> exponential(Chunk<float> x) { return exponential_of(x); }
[[gnu::always_inline]] inline Chunk<double> exponential(Chunk<double> x) {
    Chunk<double> y;
    for (int k = 0; k < chunk_width<double>; ++k) {
        y[k] = std::exp(x[k]);
    }
    return y;
}
#endif

// Normal distribution function Φ(x) and density φ(x): what GELU and its derivative need.
template <class T>
struct Normal {
    T distribution, density;
};

template <class F>
TETHER_HD inline Normal<F> normal_of(F x) {
    const F gauss = exponential_of(-0.5F * x * x);
    const F t = (x < 0.0F ? -x : x) * 0.70710678118654752440F;
    const F w = 1.0F / (1.0F + 0.3F * t);
    F p = -1.295231384e-01F * w + 4.855644139e-01F;
    p = p * w - 5.122807360e-01F;
    p = p * w + 5.477232688e-01F;
    p = p * w - 9.465313431e-02F;
    p = p * w + 2.149271695e-01F;
    p = p * w + 1.483388603e-01F;
    p = p * w + 1.707152747e-01F;
    p = p * w + 1.691880021e-01F;
    const F tail = 0.5F * p * w * gauss; // Φ(-|x|)
    return {x < 0.0F ? tail : 1.0F - tail, 0.39894228040143267794F * gauss};
}
TETHER_HD inline Normal<float> normal(float x) { return normal_of(x); }
#if defined(TETHER_CHUNK_VECTORS)
[[gnu::always_inline]] inline Normal<Chunk<float>> normal(Chunk<float> x) { return normal_of(x); }
#endif
TETHER_HD inline Normal<double> normal(double x) {
    return {0.5 * std::erfc(-x * 0.70710678118654752440), 0.39894228040143267794 * std::exp(-0.5 * x * x)};
}

#if defined(TETHER_CHUNK_VECTORS)
[[gnu::always_inline]] inline Normal<Chunk<double>> normal(Chunk<double> x) {
    Normal<Chunk<double>> n;
    for (int k = 0; k < chunk_width<double>; ++k) {
        const Normal<double> one = normal(x[k]);
        n.distribution[k] = one.distribution;
        n.density[k] = one.density;
    }
    return n;
}
#endif

// F is float, double or a chunk of them; Number<F> is what it consists of.
template <class F>
struct NumberOf {
    using type = F;
};
#if defined(TETHER_CHUNK_VECTORS)
template <>
struct NumberOf<Chunk<float>> {
    using type = float;
};
template <>
struct NumberOf<Chunk<double>> {
    using type = double;
};
#endif
template <class F>
using Number = typename NumberOf<F>::type;

template <class F>
TETHER_HD inline F sigmoid(F x) {
    return Number<F>(1) / (Number<F>(1) + exponential(-x));
}

} // namespace tether::kernels
