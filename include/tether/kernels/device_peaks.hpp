// What a device could do at best, measured by its backend with launches of this library: bandwidth of a copy,
// float32 multiply-adds in registers, and those of the matrix product.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"
#include "tether/device/backend.hpp"

namespace tether::kernels {

// Independent chains of multiply-adds that touch memory once.
template <class T>
struct FusedChains {
    static constexpr int chains = 16;
    T scale;
    int rounds;
    T* out;
    TETHER_HD void operator()(Index i) const {
        T sum[chains];
        for (int k = 0; k < chains; ++k) {
            sum[k] = static_cast<T>(i + k);
        }
        for (int r = 0; r < rounds; ++r) {
            for (int k = 0; k < chains; ++k) {
                sum[k] = sum[k] * scale + T(1);
            }
        }
        T total = 0;
        for (int k = 0; k < chains; ++k) {
            total += sum[k];
        }
        out[i] = total;
    }
};

struct PeakSizes {
    Index copied = Index{1} << 28;  // numbers: 1 GiB read and written
    Index threads = Index{1} << 20; // that make chains
    int rounds = 1024;
    Index rows = 16384, columns = 1024, inner = 1024; // of the product
    int repeats = 5;                                  // the best counts
};

struct DevicePeaks {
    double gbs = 0;            // read and written
    double gflops = 0;         // float32
    double product_gflops = 0; // float32, by the product of block_linear
};

[[nodiscard]] DevicePeaks measure_peaks(device::Backend& backend, const PeakSizes& sizes = {});

} // namespace tether::kernels
