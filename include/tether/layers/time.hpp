// Layers along time, for rows that stand for several times (Extent::times): the spectral convolution
// of EGNO (Xu et al., ICML 2024) and the sinusoidal embedding of the time.
#pragma once

#include "tether/program/builder.hpp"

#include <string>
#include <vector>

namespace tether::layers {

// irfft( W_k · rfft(x)_k ) over the times, lowest `modes` frequencies, the others 0: Fourier sums are
// fixed matrices along time and W_k one product per frequency, on nodes. x has copies · channels
// columns, copy by copy; W mixes channels and is shared by the copies. Published weight: `name`
// [in, out, mode, re/im] from U(0, bound); its imaginary part has no effect at frequency 0 and, for an
// even number of times, at the highest.
struct TimeConvolution {
    Index modes = 2;
    Index copies = 1;
    double bound = 1;
};
Value time_convolution(Builder& b, const std::string& name, Value x, const TimeConvolution& options);

// [times x width]: sines, then cosines of t · 10000^(-k/(width/2 - 1)), k = 0 .. width/2 - 1.
std::vector<double> time_embedding(Index times, Index width);

} // namespace tether::layers
