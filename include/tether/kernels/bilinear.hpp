// One row of a sparse bilinear map between blocks of features and a short attribute vector:
// out[block + u] = add + sum over entries of coefficient · a[attribute] · x[entry.column + u],
// u < length. With Clebsch-Gordan coefficients this is the contraction of a tensor product; blocks
// are component-major, so that u runs over contiguous channels.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"
#include "tether/kernels/chunk.hpp"

namespace tether::kernels {

template <class T>
struct BilinearEntry {
    Index column;    // first column of the block in x
    Index attribute; // index in a
    T coefficient;
};

struct BilinearBlock {
    Index column; // first column of the block in the output
    Index length;
    Index first, last; // its entries
};

// `Count` chunks from column u on.
template <class T, int Count>
TETHER_HD inline void bilinear_chunks(const BilinearEntry<T>* entries, Index first, Index last, const T* x,
                                      const T* factor, Index u, const T* add, T* out) {
    constexpr int width = chunk_width<T>;
    Chunk<T> sum[Count];
    for (int k = 0; k < Count; ++k) {
        sum[k] = add != nullptr ? load_chunk(add + u + k * width) : Chunk<T>{};
    }
    for (Index e = first; e < last; ++e) {
        const T f = factor[e];
        const T* from = x + entries[e].column + u;
        for (int k = 0; k < Count; ++k) {
            sum[k] += f * load_chunk(from + k * width);
        }
    }
    for (int k = 0; k < Count; ++k) {
        store_chunk(out + u + k * width, sum[k]);
    }
}

// `factor` has room for one number per entry. `add` (may be null) is the start value of the row.
template <class T>
TETHER_HD inline void bilinear_row(const BilinearBlock* blocks, Index block_count,
                                   const BilinearEntry<T>* entries, Index entry_count, const T* x, const T* a,
                                   const T* add, T* factor, T* out) {
    constexpr Index width = chunk_width<T>;
    for (Index e = 0; e < entry_count; ++e) {
        factor[e] = entries[e].coefficient * a[entries[e].attribute];
    }
    for (Index i = 0; i < block_count; ++i) {
        const BilinearBlock& block = blocks[i];
        const T* start = add != nullptr ? add + block.column : nullptr;
        T* to = out + block.column;
        Index u = 0;
        for (; u + 4 * width <= block.length; u += 4 * width) {
            bilinear_chunks<T, 4>(entries, block.first, block.last, x, factor, u, start, to);
        }
        for (; u + 2 * width <= block.length; u += 2 * width) {
            bilinear_chunks<T, 2>(entries, block.first, block.last, x, factor, u, start, to);
        }
        for (; u + width <= block.length; u += width) {
            bilinear_chunks<T, 1>(entries, block.first, block.last, x, factor, u, start, to);
        }
        for (; u < block.length; ++u) {
            T sum = start != nullptr ? start[u] : T(0);
            for (Index e = block.first; e < block.last; ++e) {
                sum += factor[e] * x[entries[e].column + u];
            }
            to[u] = sum;
        }
    }
}

} // namespace tether::kernels
