// The arithmetic of the reconstructed rule of `recm` (methods/modulation.hpp) that hosts and devices share:
// the shape of a critic, running squares, and how the state h moves.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"

#include <cmath>

namespace tether::kernels {

inline constexpr Index modulation_hidden = 64;
inline constexpr Index modulation_size = 8; // of h and delta
inline constexpr double modulation_cap = 3; // of the spectral norms
inline constexpr double modulation_floor = 1e-12;

// Where the numbers of v lie: first weight transposed [in x 64], its bias [64], second weight [8 x 64].
struct CriticShape {
    Index in = 0; // columns of z
    [[nodiscard]] TETHER_HD Index bias() const { return in * modulation_hidden; }
    [[nodiscard]] TETHER_HD Index second() const { return bias() + modulation_hidden; }
    [[nodiscard]] TETHER_HD Index size() const { return second() + modulation_size * modulation_hidden; }
};

// r² <- mean square in the first step, then 0.99 r² + 0.01 mean square.
TETHER_HD inline double running_square(double before, double mean_square, bool first) {
    return first ? mean_square : 0.99 * before + 0.01 * mean_square;
}

// h <- (1-a) h + a delta, both of modulation_size; returns gamma = |h|.
TETHER_HD inline double advance_modulation(double a, const double* delta, double* h) {
    double square = 0;
    for (Index k = 0; k < modulation_size; ++k) {
        h[k] = (1 - a) * h[k] + a * delta[k];
        square += h[k] * h[k];
    }
    return std::sqrt(square);
}

// h <- h / (|h| + 1e-12)
TETHER_HD inline void modulation_direction(double* h) {
    double square = 0;
    for (Index k = 0; k < modulation_size; ++k) {
        square += h[k] * h[k];
    }
    const double length = std::sqrt(square) + modulation_floor;
    for (Index k = 0; k < modulation_size; ++k) {
        h[k] /= length;
    }
}

} // namespace tether::kernels
