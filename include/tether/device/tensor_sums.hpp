// Sums of products of a tile by the tensor cores of a device: operands rounded to TF32 (11 significant bits,
// as the cores take them) or bfloat16 (8, which TF32 holds exactly), products and sums in float32. Where
// there are no such cores (the host, devices before sm_80) by fused multiply-adds over the same rounded
// operands: equal but for the order of a tile's sums.
#pragma once

#include "tether/core/host_device.hpp"

#include <bit>
#include <cstdint>

#if defined(__CUDA_ARCH__)
#include <mma.h>
#define TETHER_TENSOR_CORES
#endif

namespace tether::device {

enum class ProductPrecision : std::uint8_t { exact, tf32, bf16 };

// To the nearest, ties to even; what is no number stays what it is.
template <ProductPrecision precision>
TETHER_HD inline float rounded(float x) {
    if constexpr (precision == ProductPrecision::exact) {
        return x;
    } else {
        constexpr int dropped = precision == ProductPrecision::tf32 ? 13 : 16;
        constexpr std::uint32_t low = (std::uint32_t{1} << dropped) - 1;
#if defined(__CUDA_ARCH__)
        const std::uint32_t bits = __float_as_uint(x);
#else
        const auto bits = std::bit_cast<std::uint32_t>(x);
#endif
        if ((bits & 0x7FFFFFFFU) > 0x7F800000U) { // not a number: a carry could make it one
            return x;
        }
        const std::uint32_t up = (bits + (low >> 1) + ((bits >> dropped) & 1)) & ~low;
#if defined(__CUDA_ARCH__)
        return __uint_as_float(up);
#else
        return std::bit_cast<float>(up);
#endif
    }
}

// The tile [rows x columns] of a block of 128 threads, `depth` steps of the inner dimension at a time.
// Threads own 4 x 4 numbers each, or warps 16 x 32. `spare`: numbers between rows of the operands.
template <int rows, int columns, int depth, int spare>
class TensorSums {
    static_assert(rows == 32 && columns == 64 && depth % 8 == 0 && spare % 4 == 0); // for load_matrix_sync

public:
    // += sum over k of a[k][row] b[k][column]
    TETHER_HD void add(const float (&a)[depth][rows + spare], const float (&b)[depth][columns + spare],
                       int thread) {
#if defined(TETHER_TENSOR_CORES)
        using namespace nvcuda;
        __syncwarp();
        begin();
        wmma::fragment<wmma::matrix_a, 16, 16, 8, wmma::precision::tf32, wmma::col_major> left;
        wmma::fragment<wmma::matrix_b, 16, 16, 8, wmma::precision::tf32, wmma::row_major> right;
        for (int k = 0; k < depth; k += 8) {
            wmma::load_matrix_sync(left, &a[k][row_of(thread)], rows + spare);
            for (int f = 0; f < 2; ++f) {
                wmma::load_matrix_sync(right, &b[k][column_of(thread) + 16 * f], columns + spare);
                wmma::mma_sync(sums_[f], left, right, sums_[f]);
            }
        }
#else
        for (int k = 0; k < depth; ++k) {
            for (int i = 0; i < 4; ++i) {
                for (int j = 0; j < 4; ++j) {
                    sums_[i][j] += a[k][own_row(thread) + i] * b[k][own_column(thread) + j];
                }
            }
        }
#endif
    }
    // Puts the sums down: all of the tile is there when all threads have done so.
    TETHER_HD void deposit(float (&tile)[rows][columns], int thread) {
#if defined(TETHER_TENSOR_CORES)
        using namespace nvcuda;
        __syncwarp();
        begin();
        for (int f = 0; f < 2; ++f) {
            wmma::store_matrix_sync(&tile[row_of(thread)][column_of(thread) + 16 * f], sums_[f], columns,
                                    wmma::mem_row_major);
        }
#else
        for (int i = 0; i < 4; ++i) {
            for (int j = 0; j < 4; ++j) {
                tile[own_row(thread) + i][own_column(thread) + j] = sums_[i][j];
            }
        }
#endif
    }

private:
#if defined(TETHER_TENSOR_CORES)
    TETHER_HD static int row_of(int thread) { return thread / 64 * 16; }
    TETHER_HD static int column_of(int thread) { return thread / 32 % 2 * 32; }
    TETHER_HD void begin() {
        if (!begun_) {
            for (auto& sum : sums_) {
                nvcuda::wmma::fill_fragment(sum, 0.0F);
            }
            begun_ = true;
        }
    }
    nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 8, float> sums_[2];
    bool begun_ = false;
#else
    TETHER_HD static int own_row(int thread) { return thread / 16 * 4; }
    TETHER_HD static int own_column(int thread) { return thread % 16 * 4; }
    float sums_[4][4] = {};
#endif
};

} // namespace tether::device
