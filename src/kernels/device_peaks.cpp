// See device_peaks.hpp.
#include "tether/kernels/device_peaks.hpp"

#include "tether/kernels/block_product.hpp"
#include "tether/kernels/elementwise.hpp"

#include <algorithm>
#include <chrono>
#include <vector>

namespace tether::kernels {
namespace {

// Work per second of the fastest repetition. A list takes long against the time to start it.
double best_rate(device::Backend& backend, const device::LaunchList& list, double work, int repeats) {
    using Clock = std::chrono::steady_clock;
    double best = 0;
    for (int repeat = 0; repeat < repeats; ++repeat) {
        backend.synchronise();
        const Clock::time_point start = Clock::now();
        backend.run(list, 0, list.size(), {});
        backend.synchronise();
        const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
        best = std::max(best, work * static_cast<double>(list.size()) / seconds);
    }
    return best;
}

constexpr int launches = 4;

template <class T>
const T* constant(device::Buffer<T>& buffer, const std::vector<T>& values) {
    buffer.require(static_cast<Index>(values.size()));
    buffer.load(values);
    return buffer.data();
}

double product_rate(device::Backend& backend, const PeakSizes& s) {
    device::Buffer<float> x(backend), weight(backend), out(backend);
    x.require(s.rows * s.inner);
    weight.require(s.inner * s.columns);
    out.require(s.rows * s.columns);
    std::vector<ProductPiece> pieces;
    for (Index first = 0; first < s.columns; first += ProductTile::columns) {
        pieces.push_back({.column = first,
                          .first_n = first,
                          .n = std::min<Index>(ProductTile::columns, s.columns - first),
                          .first_term = 0,
                          .last_term = 1,
                          .chunks = (s.inner + ProductTile::depth - 1) / ProductTile::depth});
    }
    device::Buffer<ProductPiece> pieces_there(backend);
    device::Buffer<ProductTermOnDevice<float>> terms_there(backend);
    const auto count = static_cast<Index>(pieces.size());
    const BlockProduct<float> product{
        {nullptr, s.rows},
        constant(pieces_there, pieces),
        count,
        constant(terms_there, {{x.data(), s.inner, s.inner, weight.data(), s.columns, 1}}),
        nullptr,
        out.data(),
        s.columns};
    device::LaunchList list;
    list.name("product");
    for (int i = 0; i < launches; ++i) {
        constexpr Index tile = BlockProduct<float>::tile_rows;
        list.team((s.rows + tile - 1) / tile * count, product);
    }
    return best_rate(backend, list, 2.0 * static_cast<double>(s.rows * s.columns * s.inner), s.repeats);
}

} // namespace

DevicePeaks measure_peaks(device::Backend& backend, const PeakSizes& s) {
    DevicePeaks peaks;
    {
        device::Buffer<float> from(backend), to(backend);
        from.require(s.copied);
        to.require(s.copied);
        device::LaunchList list;
        list.name("copy");
        for (int i = 0; i < launches; ++i) {
            list.each(s.copied, CopyNumbers<float>{from.data(), to.data()});
        }
        peaks.gbs =
            1e-9 * best_rate(backend, list, 2.0 * sizeof(float) * static_cast<double>(s.copied), s.repeats);
    }
    {
        device::Buffer<float> out(backend);
        out.require(s.threads);
        device::LaunchList list;
        list.name("multiply_add");
        for (int i = 0; i < launches; ++i) {
            list.each(s.threads, FusedChains<float>{0.5F, s.rounds, out.data()});
        }
        const double work = 2.0 * FusedChains<float>::chains * s.rounds * static_cast<double>(s.threads);
        peaks.gflops = 1e-9 * best_rate(backend, list, work, s.repeats);
    }
    peaks.product_gflops = 1e-9 * product_rate(backend, s);
    return peaks;
}

} // namespace tether::kernels
