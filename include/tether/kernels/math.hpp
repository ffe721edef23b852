// Scalar functions shared by all kernels, written once for host and device. The float versions are
// branch-free, so that plain loops over them vectorise; the double versions call the mathematical
// library because double is for verification.
//   exp:  2^n · 2^f by a minimax polynomial, relative error about 1e-7 with rounding (fitted to 4e-9)
//   erfc: exp(-t²) · P(w), w = 1/(1 + 0.3 t), P fitted for relative error 2e-8 (our own fit)
#pragma once

#include "tether/core/host_device.hpp"

#include <bit>
#include <cmath>
#include <cstdint>

namespace tether::kernels {

TETHER_HD inline float exponential(float x) {
    // Outside this range the result would be infinite or denormal; both are clamped.
    x = x < -87.0F ? -87.0F : x;
    x = x > 88.0F ? 88.0F : x;
    const float scaled = x * 1.44269504088896341F;
    // Adding 1.5·2^23 rounds to the nearest integer and leaves it in the low mantissa bits.
    const float shifted = scaled + 12582912.0F;
    const float n = shifted - 12582912.0F;
    // x - n ln 2 in two pieces (the first has few bits, so that its product with n is exact).
    const float r = (x - n * 0.693145751953125F) - n * 1.42860682030941723212e-6F;
    // exp(r) on [-ln2/2, ln2/2]
    float p = 1.3811661067e-3F;
    p = p * r + 8.3701349290e-3F;
    p = p * r + 4.1668528302e-2F;
    p = p * r + 1.6666508716e-1F;
    p = p * r + 4.9999992629e-1F;
    p = p * r * r + r + 1.0F;
    const std::int32_t exponent = (static_cast<std::int32_t>(n) + 127) << 23;
#if defined(__CUDA_ARCH__)
    return p * __int_as_float(exponent);
#else
    return p * std::bit_cast<float>(exponent);
#endif
}
TETHER_HD inline double exponential(double x) { return std::exp(x); }

// Normal distribution function Φ(x) and density φ(x): what GELU and its derivative need.
template <class T>
struct Normal {
    T distribution, density;
};

TETHER_HD inline Normal<float> normal(float x) {
    const float half_square = 0.5F * x * x;
    const float gauss = exponential(-half_square);
    const float t = (x < 0 ? -x : x) * 0.70710678118654752440F;
    const float w = 1.0F / (1.0F + 0.3F * t);
    float p = -1.295231384e-01F;
    p = p * w + 4.855644139e-01F;
    p = p * w - 5.122807360e-01F;
    p = p * w + 5.477232688e-01F;
    p = p * w - 9.465313431e-02F;
    p = p * w + 2.149271695e-01F;
    p = p * w + 1.483388603e-01F;
    p = p * w + 1.707152747e-01F;
    p = p * w + 1.691880021e-01F;
    const float tail = 0.5F * p * w * gauss; // Φ(-|x|)
    return {x < 0 ? tail : 1.0F - tail, 0.39894228040143267794F * gauss};
}
TETHER_HD inline Normal<double> normal(double x) {
    return {0.5 * std::erfc(-x * 0.70710678118654752440), 0.39894228040143267794 * std::exp(-0.5 * x * x)};
}

template <class T>
TETHER_HD T sigmoid(T x) {
    return T(1) / (T(1) + exponential(-x));
}

} // namespace tether::kernels
