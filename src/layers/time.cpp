// With X_k = Σ_t x_t exp(-2πi kt/T) and y_t = (1/T) Σ_k c_k Re(Y_k exp(2πi kt/T)), c_k = 1 at frequency
// 0 and T/2, else 2. In between lie, side by side, Re X_0 and for each further frequency Re, Im, -Im, Re:
// a complex product is then two real ones, each on two neighbouring parts with one weight.
#include "tether/layers/time.hpp"

#include "tether/core/error.hpp"
#include "tether/ops/block_linear.hpp"
#include "tether/ops/times.hpp"

#include <cmath>
#include <numbers>

namespace tether::layers {
namespace {

double angle(Index k, Index t, Index times) {
    return 2 * std::numbers::pi * static_cast<double>(k * t % times) / static_cast<double>(times);
}

} // namespace

Value time_convolution(Builder& b, const std::string& name, Value x, const TimeConvolution& options) {
    const ValueInfo info = b.info(x);
    const Index times = info.extent.times;
    const Index modes = options.modes;
    check(modes >= 1 && modes <= times / 2 + 1,
          "time convolution {}: {} frequencies of {} times, expected 1..{}", name, modes, times,
          times / 2 + 1);
    check(options.copies >= 1 && info.columns % options.copies == 0,
          "time convolution {}: {} columns are not {} copies", name, info.columns, options.copies);
    const Index channels = info.columns / options.copies;

    // Inside: [mode, re/im, in, out], so that every part is a matrix with adjacent columns.
    std::vector<Index> order;
    for (Index k = 0; k < 2 * modes; ++k) {
        for (Index i = 0; i < channels; ++i) {
            for (Index o = 0; o < channels; ++o) {
                order.push_back((i * channels + o) * 2 * modes + k);
            }
        }
    }
    const Value weight = b.parameter({.name = name,
                                      .shape = {channels, channels, modes, 2},
                                      .initial = Initial::positive(options.bound),
                                      .published = order});

    // Parts of the spectrum in terms of x_0 and x_t - x_0: only frequency 0 sees what is constant.
    ops::TimeMap forward{0, times, {}, true};
    std::vector<std::vector<double>> inverse; // one per part, over times
    ops::BlockLinear map;
    const auto analyse = [&](double factor, bool sine, Index k) {
        forward.entries.push_back(k == 0 ? factor * static_cast<double>(times) : 0.0);
        for (Index t = 1; t < times; ++t) {
            forward.entries.push_back(factor *
                                      (sine ? std::sin(angle(k, t, times)) : std::cos(angle(k, t, times))));
        }
        return forward.to++;
    };
    const auto synthesise = [&](double factor, bool sine, Index k) {
        inverse.emplace_back();
        for (Index t = 0; t < times; ++t) {
            inverse.back().push_back(factor / static_cast<double>(times) *
                                     (sine ? std::sin(angle(k, t, times)) : std::cos(angle(k, t, times))));
        }
        return static_cast<Index>(inverse.size()) - 1;
    };
    const auto matrix = [&](Index k, Index imaginary) {
        return WeightView{(2 * k + imaginary) * channels * channels, channels, 1, channels, channels};
    };
    for (Index k = 0; k < modes; ++k) {
        const bool real = k == 0 || 2 * k == times;
        if (real) {
            const Index from = analyse(1, false, k);
            const Index to = synthesise(1, false, k);
            map.blocks.push_back({to * info.columns,
                                  channels,
                                  options.copies,
                                  channels,
                                  {{0, from * info.columns, channels, matrix(k, 0)}}});
        } else {
            const Index from = analyse(1, false, k); // Re
            analyse(-1, true, k);                    // Im
            analyse(1, true, k);                     // -Im
            analyse(1, false, k);                    // Re
            const Index to = synthesise(2, false, k);
            synthesise(-2, true, k);
            map.blocks.push_back({to * info.columns,
                                  channels,
                                  2 * options.copies,
                                  channels,
                                  {{0, from * info.columns, channels, matrix(k, 0)},
                                   {0, (from + 2) * info.columns, channels, matrix(k, 1)}}});
        }
    }
    map.columns = static_cast<Index>(inverse.size()) * info.columns;
    ops::TimeMap backward{times, static_cast<Index>(inverse.size()), {}};
    for (Index t = 0; t < times; ++t) {
        for (const std::vector<double>& part : inverse) {
            backward.entries.push_back(part[static_cast<std::size_t>(t)]);
        }
    }
    const Value spectrum = ops::mix_times(b, x, forward, 1);
    return ops::mix_times(b, ops::block_linear(b, {spectrum}, weight, map), backward, times);
}

std::vector<double> time_embedding(Index times, Index width) {
    check(times >= 1 && width >= 4 && width % 2 == 0, "time embedding: width {}, expected even, at least 4",
          width);
    const Index half = width / 2;
    std::vector<double> table;
    for (Index t = 0; t < times; ++t) {
        for (Index c = 0; c < width; ++c) {
            const double frequency =
                std::exp(-std::log(10000.0) / static_cast<double>(half - 1) * static_cast<double>(c % half));
            const double phase = static_cast<double>(t) * frequency;
            table.push_back(c < half ? std::sin(phase) : std::cos(phase));
        }
    }
    return table;
}

} // namespace tether::layers
