// One row of a sparse bilinear map between blocks of features and a short attribute vector:
// out[block + u] = add + sum over entries of coefficient · a[attribute] · x[entry.column + u],
// u < length. With Clebsch-Gordan coefficients this is the contraction of a tensor product; blocks
// are component-major, so that u runs over contiguous channels.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"

namespace tether::kernels {

struct BilinearEntry {
    Index column;    // first column of the block in x
    Index attribute; // index in a
    double coefficient;
};

struct BilinearBlock {
    Index column; // first column of the block in the output
    Index length;
    Index first, last; // its entries
};

template <class T, int Width>
TETHER_HD inline void bilinear_chunk(const BilinearEntry* entries, Index first, Index last, const T* __restrict__ x,
                                     const T* factor, Index u, const T* add, T* __restrict__ out) {
    T sum[Width];
    for (int k = 0; k < Width; ++k) {
        sum[k] = add != nullptr ? add[u + k] : T(0);
    }
    for (Index e = first; e < last; ++e) {
        const T f = factor[e];
        const T* from = x + entries[e].column + u;
        for (int k = 0; k < Width; ++k) {
            sum[k] += f * from[k];
        }
    }
    for (int k = 0; k < Width; ++k) {
        out[u + k] = sum[k];
    }
}

// `factor` has room for one number per entry. `add` (may be null) is the block's start value.
template <class T>
TETHER_HD inline void bilinear_row(const BilinearBlock* blocks, Index block_count, const BilinearEntry* entries,
                                   Index entry_count, const T* __restrict__ x, const T* __restrict__ a, const T* add,
                                   T* __restrict__ factor, T* __restrict__ out) {
    for (Index e = 0; e < entry_count; ++e) {
        factor[e] = static_cast<T>(entries[e].coefficient) * a[entries[e].attribute];
    }
    for (Index i = 0; i < block_count; ++i) {
        const BilinearBlock& block = blocks[i];
        const T* start = add != nullptr ? add + block.column : nullptr;
        T* to = out + block.column;
        Index u = 0;
        for (; u + 32 <= block.length; u += 32) {
            bilinear_chunk<T, 32>(entries, block.first, block.last, x, factor, u, start, to);
        }
        for (; u + 8 <= block.length; u += 8) {
            bilinear_chunk<T, 8>(entries, block.first, block.last, x, factor, u, start, to);
        }
        for (; u < block.length; ++u) {
            bilinear_chunk<T, 1>(entries, block.first, block.last, x, factor, u, start, to);
        }
    }
}

} // namespace tether::kernels
