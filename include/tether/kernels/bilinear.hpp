// Rows of a sparse bilinear map between blocks of features and a short attribute vector:
// out[block + u] = add + sum over entries of coefficient · a[attribute] · x[entry.column + u],
// u < length. With Clebsch-Gordan coefficients this is the contraction of a tensor product; blocks
// are component-major, so that u runs over contiguous channels. Some rows go through a block before the
// next one, so that its few entries are decoded once for all of them.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"
#include "tether/kernels/chunk.hpp"

namespace tether::kernels {

struct BilinearBlock {
    Index column; // first column of the block in the output
    Index length;
    Index first, last; // its entries
};

struct BilinearEntry {
    Index column; // first column of the block in x
    Index factor; // number of its factor
};

// A factor is coefficient · a[attribute]; entries share equal ones.
template <class T>
struct BilinearFactor {
    Index attribute;
    T coefficient;
};

template <class T>
struct BilinearTable {
    const BilinearBlock* blocks;
    Index block_count;
    const BilinearEntry* entries;
    const BilinearFactor<T>* factors;
    Index factor_count;
};

// Matrices whose row r begins at data + r * stride; `add` may be null, and with stride 0 it is one row
// for all.
template <class T>
struct BilinearRows {
    Index count;
    const T* x;
    Index x_stride;
    const T* add;
    Index add_stride;
    T* out;
    Index out_stride;
};

// factor[r * factor_count + f] of all rows.
template <class T>
TETHER_HD inline void bilinear_factors(const BilinearTable<T>& t, Index rows, const T* a, Index a_stride,
                                       T* factor) {
    for (Index r = 0; r < rows; ++r) {
        for (Index f = 0; f < t.factor_count; ++f) {
            factor[r * t.factor_count + f] =
                t.factors[f].coefficient * a[r * a_stride + t.factors[f].attribute];
        }
    }
}

// `Chunks` chunks from column u of a block on, with `Entries` of its entries.
template <class T, int Entries, int Chunks>
TETHER_HD inline void bilinear_piece(const BilinearEntry* entry, Index u, Index column,
                                     const BilinearRows<T>& rows, const T* factor, Index factor_stride) {
    constexpr int width = chunk_width<T>;
    Index from[Entries + 1];
    Index which[Entries + 1];
    for (int e = 0; e < Entries; ++e) {
        from[e] = entry[e].column + u;
        which[e] = entry[e].factor;
    }
    for (Index r = 0; r < rows.count; ++r) {
        const T* x = rows.x + r * rows.x_stride;
        const T* f = factor + r * factor_stride;
        Chunk<T> sum[Chunks];
        for (int k = 0; k < Chunks; ++k) {
            sum[k] = rows.add != nullptr ? load_chunk(rows.add + r * rows.add_stride + column + u + k * width)
                                         : Chunk<T>{};
        }
        for (int e = 0; e < Entries; ++e) {
            for (int k = 0; k < Chunks; ++k) {
                sum[k] += f[which[e]] * load_chunk(x + from[e] + k * width);
            }
        }
        for (int k = 0; k < Chunks; ++k) {
            store_chunk(rows.out + r * rows.out_stride + column + u + k * width, sum[k]);
        }
    }
}

// Columns [u, ...) of a block, the widest pieces first; what is left is done one column at a time.
template <class T, int Entries>
TETHER_HD inline void bilinear_columns(const BilinearEntry* entry, Index column, Index length,
                                       const BilinearRows<T>& rows, const T* factor, Index factor_stride) {
    constexpr Index width = chunk_width<T>;
    Index u = 0;
    for (; u + 4 * width <= length; u += 4 * width) {
        bilinear_piece<T, Entries, 4>(entry, u, column, rows, factor, factor_stride);
    }
    for (; u + 2 * width <= length; u += 2 * width) {
        bilinear_piece<T, Entries, 2>(entry, u, column, rows, factor, factor_stride);
    }
    for (; u + width <= length; u += width) {
        bilinear_piece<T, Entries, 1>(entry, u, column, rows, factor, factor_stride);
    }
    for (Index r = 0; r < rows.count && u < length; ++r) {
        for (Index v = u; v < length; ++v) {
            T sum = rows.add != nullptr ? rows.add[r * rows.add_stride + column + v] : T(0);
            for (int e = 0; e < Entries; ++e) {
                sum += factor[r * factor_stride + entry[e].factor] *
                       rows.x[r * rows.x_stride + entry[e].column + v];
            }
            rows.out[r * rows.out_stride + column + v] = sum;
        }
    }
}

// `factor` from bilinear_factors. The entries of a block are added in their order, four at a time.
template <class T>
TETHER_HD inline void bilinear_rows(const BilinearTable<T>& t, const BilinearRows<T>& rows, const T* factor) {
    for (Index b = 0; b < t.block_count; ++b) {
        const BilinearBlock& block = t.blocks[b];
        BilinearRows<T> pass = rows;
        Index e = block.first;
        do {
            const Index left = block.last - e;
            const BilinearEntry* entry = t.entries + e;
            switch (left < 4 ? left : 4) {
            case 0:
                bilinear_columns<T, 0>(entry, block.column, block.length, pass, factor, t.factor_count);
                break;
            case 1:
                bilinear_columns<T, 1>(entry, block.column, block.length, pass, factor, t.factor_count);
                break;
            case 2:
                bilinear_columns<T, 2>(entry, block.column, block.length, pass, factor, t.factor_count);
                break;
            case 3:
                bilinear_columns<T, 3>(entry, block.column, block.length, pass, factor, t.factor_count);
                break;
            default: bilinear_columns<T, 4>(entry, block.column, block.length, pass, factor, t.factor_count);
            }
            e += 4;
            pass.add = rows.out; // further entries are added to what is there
            pass.add_stride = rows.out_stride;
        } while (e < block.last);
    }
}

} // namespace tether::kernels
