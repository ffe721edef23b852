// Real spherical harmonics Y_l, l = 0..lmax, of the direction of a vector, and the product of a
// cotangent with their Jacobian with respect to the vector itself. With u the unit vector,
//   Y_lm = N_lm P_l^(|m|)(u_y) · Re (m >= 0) or Im (m < 0) of (u_z + i u_x)^|m|,   m = -l..l,
// P_l^(m) the m-th derivative of the Legendre polynomial, so that dP_l^(m)/du_y = P_l^(m+1);
// N_lm² = (2l+1)·(2 if m != 0)·(l-|m|)!/(l+|m|)! for `component`. The zero vector has Y_0 only and
// no Jacobian. Nothing is allocated; the loops have constant bounds, one instance for each lmax.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"

#include <cmath>

namespace tether::kernels {

enum class Normalisation {
    component, // |Y_l|² = 2l+1
    norm,      // |Y_l|  = 1
    integral   // component / √(4π)
};

inline constexpr int max_harmonic_degree = 6;

TETHER_HD constexpr int harmonic_columns(int lmax) { return (lmax + 1) * (lmax + 1); }

namespace detail {

// Square root at compile time: Newton's iteration from above, until it stops to fall.
TETHER_HD constexpr double constant_sqrt(double x) {
    double root = x > 1 ? x : 1;
    for (;;) {
        const double next = 0.5 * (root + x / root);
        if (!(next < root)) {
            return root;
        }
        root = next;
    }
}

// N_lm of `component` at [l][m], m >= 0, and 1/√(2l+1): constants of the compiled code.
template <int L>
struct HarmonicConstants {
    double factor[L + 1][L + 1] = {};
    double inverse_norm[L + 1] = {};
    TETHER_HD constexpr HarmonicConstants() {
        for (int l = 0; l <= L; ++l) {
            inverse_norm[l] = 1.0 / constant_sqrt(2 * l + 1);
            for (int m = 0; m <= l; ++m) {
                double ratio = 1; // (l+m)!/(l-m)!
                for (int k = l - m + 1; k <= l + m; ++k) {
                    ratio *= k;
                }
                factor[l][m] = constant_sqrt((2 * l + 1) * (m == 0 ? 1.0 : 2.0) / ratio);
            }
        }
    }
};

// Direction and length = scale · stretch of a vector. The largest component is divided out first,
// so that lengths whose squares underflow or overflow keep their direction.
template <class T>
struct Direction {
    T x = 0, y = 0, z = 0;
    T scale = 0, stretch = 1;
    bool zero = true;

    TETHER_HD explicit Direction(const T* vector) {
        const T a = vector[0] < 0 ? -vector[0] : vector[0];
        const T b = vector[1] < 0 ? -vector[1] : vector[1];
        const T c = vector[2] < 0 ? -vector[2] : vector[2];
        zero = a == 0 && b == 0 && c == 0; // false for NaN, which then spreads
        if (zero) {
            return;
        }
        scale = a > b ? a : b;
        scale = scale > c ? scale : c;
        x = vector[0] / scale;
        y = vector[1] / scale;
        z = vector[2] / scale;
        stretch = std::sqrt(x * x + y * y + z * z);
        x /= stretch;
        y /= stretch;
        z /= stretch;
    }
};

// What both directions need: the derivatives P_l^(m)(u_y) at [l][m], the powers of u_z + i u_x, and
// the factor of degree l.
template <int L, class T>
struct HarmonicParts {
    T legendre[L + 1][L + 2] = {}; // column l+1 is the zero that ends row l
    T re[L + 1] = {}, im[L + 1] = {};
    T degree_factor[L + 1] = {};

    TETHER_HD HarmonicParts(const Direction<T>& u, Normalisation normalisation) {
        constexpr HarmonicConstants<L> constants;
        re[0] = 1;
        T first = 1; // P_m^(m) = (2m-1)!!
        for (int m = 0; m <= L; ++m) {
            if (m > 0) {
                re[m] = re[m - 1] * u.z - im[m - 1] * u.x;
                im[m] = re[m - 1] * u.x + im[m - 1] * u.z;
                first *= static_cast<T>(2 * m - 1);
            }
            T before = 0;
            T last = first;
            legendre[m][m] = first;
            for (int l = m + 1; l <= L; ++l) {
                // (l-m) P_l = (2l-1) u_y P_{l-1} - (l+m-1) P_{l-2}
                const T next = static_cast<T>(double(2 * l - 1) / (l - m)) * u.y * last -
                               static_cast<T>(double(l + m - 1) / (l - m)) * before;
                before = last;
                last = next;
                legendre[l][m] = next;
            }
        }
        for (int l = 0; l <= L; ++l) {
            degree_factor[l] = normalisation == Normalisation::component ? T(1)
                               : normalisation == Normalisation::norm
                                   ? static_cast<T>(constants.inverse_norm[l])
                                   : static_cast<T>(0.28209479177387814347); // 1/√(4π)
        }
    }
};

template <int L, class T>
TETHER_HD void harmonics(const T* vector, Normalisation normalisation, T* out) {
    const Direction<T> u(vector);
    const HarmonicParts<L, T> parts(u, normalisation);
    out[0] = parts.degree_factor[0];
    if (u.zero) {
        for (int column = 1; column < harmonic_columns(L); ++column) {
            out[column] = 0;
        }
        return;
    }
    constexpr HarmonicConstants<L> constants;
    for (int l = 1; l <= L; ++l) {
        T* y = out + l * l + l; // m = 0
        for (int m = 0; m <= l; ++m) {
            const T p =
                static_cast<T>(constants.factor[l][m]) * parts.degree_factor[l] * parts.legendre[l][m];
            y[-m] = p * parts.im[m];
            y[m] = p * parts.re[m]; // last, so that m = 0 is the real part
        }
    }
}

template <int L, class T>
TETHER_HD void harmonics_backward(const T* vector, Normalisation normalisation, const T* cotangent,
                                  T* dvector) {
    const Direction<T> u(vector);
    if (u.zero) {
        return;
    }
    const HarmonicParts<L, T> parts(u, normalisation);
    constexpr HarmonicConstants<L> constants;
    // Gradient with respect to u as a free vector.
    T gx = 0, gy = 0, gz = 0;
    for (int l = 1; l <= L; ++l) {
        const T* g = cotangent + l * l + l;
        gy += static_cast<T>(constants.factor[l][0]) * parts.degree_factor[l] * parts.legendre[l][1] * g[0];
        for (int m = 1; m <= l; ++m) {
            const T factor = static_cast<T>(constants.factor[l][m]) * parts.degree_factor[l];
            const T even = factor * g[m], odd = factor * g[-m];
            const T slope = static_cast<T>(m) * parts.legendre[l][m];
            gy += parts.legendre[l][m + 1] * (even * parts.re[m] + odd * parts.im[m]);
            gz += slope * (even * parts.re[m - 1] + odd * parts.im[m - 1]);
            gx += slope * (odd * parts.re[m - 1] - even * parts.im[m - 1]);
        }
    }
    // du/dv = (1 - u uᵀ)/|v|
    const T along = u.x * gx + u.y * gy + u.z * gz;
    dvector[0] += (gx - u.x * along) / u.stretch / u.scale;
    dvector[1] += (gy - u.y * along) / u.stretch / u.scale;
    dvector[2] += (gz - u.z * along) / u.stretch / u.scale;
}

} // namespace detail

// out: (lmax+1)² columns, degree by degree, m = -l..l. 0 <= lmax <= max_harmonic_degree is the
// caller's promise; a kernel cannot throw, so a broken promise gives NaN in the first column.
template <class T>
TETHER_HD void spherical_harmonics(const T* vector3, int lmax, Normalisation normalisation, T* out) {
    static_assert(max_harmonic_degree == 6);
    switch (lmax) {
    case 0: detail::harmonics<0>(vector3, normalisation, out); return;
    case 1: detail::harmonics<1>(vector3, normalisation, out); return;
    case 2: detail::harmonics<2>(vector3, normalisation, out); return;
    case 3: detail::harmonics<3>(vector3, normalisation, out); return;
    case 4: detail::harmonics<4>(vector3, normalisation, out); return;
    case 5: detail::harmonics<5>(vector3, normalisation, out); return;
    case 6: detail::harmonics<6>(vector3, normalisation, out); return;
    default: out[0] = static_cast<T>(NAN); return;
    }
}

// dvector3 += (dY/dvector)ᵀ cotangent; cotangent as `out` above.
template <class T>
TETHER_HD void spherical_harmonics_backward(const T* vector3, int lmax, Normalisation normalisation,
                                            const T* cotangent, T* dvector3) {
    switch (lmax) {
    case 0: return; // constant
    case 1: detail::harmonics_backward<1>(vector3, normalisation, cotangent, dvector3); return;
    case 2: detail::harmonics_backward<2>(vector3, normalisation, cotangent, dvector3); return;
    case 3: detail::harmonics_backward<3>(vector3, normalisation, cotangent, dvector3); return;
    case 4: detail::harmonics_backward<4>(vector3, normalisation, cotangent, dvector3); return;
    case 5: detail::harmonics_backward<5>(vector3, normalisation, cotangent, dvector3); return;
    case 6: detail::harmonics_backward<6>(vector3, normalisation, cotangent, dvector3); return;
    default: dvector3[0] = static_cast<T>(NAN); return;
    }
}

// Per row, for devices.
template <class T>
struct HarmonicsRow {
    const T* vectors;
    int lmax;
    Normalisation normalisation;
    T* out;
    TETHER_HD void operator()(Index row) const {
        spherical_harmonics(vectors + row * 3, lmax, normalisation, out + row * harmonic_columns(lmax));
    }
};
template <class T>
struct HarmonicsBackwardRow {
    const T *vectors, *cotangents;
    int lmax;
    Normalisation normalisation;
    T* dvectors;
    TETHER_HD void operator()(Index row) const {
        T d[3] = {};
        spherical_harmonics_backward(vectors + row * 3, lmax, normalisation,
                                     cotangents + row * harmonic_columns(lmax), d);
        for (int i = 0; i < 3; ++i) {
            dvectors[row * 3 + i] = d[i];
        }
    }
};

} // namespace tether::kernels
