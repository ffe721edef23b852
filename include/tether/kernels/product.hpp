// Matrix products on a device, as teams of threads over tiles. An element of a result is one chain of fused
// multiply-adds in a fixed order (over the terms, then k; for gradients of weights over the rows of a lane
// and their components), whatever the number of rows, lanes on a device or devices. A block of 128 threads
// makes 32 rows x 64 columns, each thread 4 x 4; 16 steps of the inner dimension go through shared memory at
// a time: 6 KiB, one load of 4 numbers per 16 multiply-adds and thread.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/kernels/batch_rows.hpp"
#include "tether/kernels/lane_sums.hpp"

namespace tether::kernels {

struct ProductTile {
    static constexpr int threads = 128;
    static constexpr int rows = 32, columns = 64, depth = 16; // depth: of the inner dimension in one go
    static constexpr int own_rows = 4, own_columns = 4;
    TETHER_HD static int first_row(int thread) { return thread / (columns / own_columns) * own_rows; }
    TETHER_HD static int first_column(int thread) { return thread % (columns / own_columns) * own_columns; }
};

template <class T>
struct ProductShared {
    T a[ProductTile::depth][ProductTile::rows];
    T b[ProductTile::depth][ProductTile::columns];
};

template <class T>
struct ProductSums {
    T sum[ProductTile::own_rows][ProductTile::own_columns] = {};
    TETHER_HD void add(const ProductShared<T>& shared, int thread) {
        const int row = ProductTile::first_row(thread);
        const int column = ProductTile::first_column(thread);
        for (int k = 0; k < ProductTile::depth; ++k) {
            for (int i = 0; i < ProductTile::own_rows; ++i) {
                for (int j = 0; j < ProductTile::own_columns; ++j) {
                    sum[i][j] += shared.a[k][row + i] * shared.b[k][column + j];
                }
            }
        }
    }
};

// One term of a piece of a block-linear map: x times a view of the weights.
template <class T>
struct ProductTermOnDevice {
    const T* x; // row 0
    Index x_stride, k;
    const T* weight;
    Index k_stride, n_stride;
};

// Up to 64 columns of one block and component of the output.
struct ProductPiece {
    Index column; // in the output
    Index first_n, n;
    Index bias = -1; // first bias, -1: none
    Index first_term = 0, last_term = 0;
    Index chunks = 0; // steps of `depth` of all terms
};

template <class T>
struct BlockProduct {
    static constexpr int threads = ProductTile::threads;
    using Shared = ProductShared<T>;
    struct Local {
        ProductSums<T> sums;
        Index term = 0, k = 0; // of the chunk at hand
    };

    RowCount rows;
    const ProductPiece* pieces;
    Index piece_count;
    const ProductTermOnDevice<T>* terms;
    const T* bias;
    T* out;
    Index out_stride;

    TETHER_HD Index phases(Index block) const {
        const Index first = block / piece_count * ProductTile::rows;
        return first < rows() ? 2 * pieces[block % piece_count].chunks + 1 : 0;
    }
    TETHER_HD void phase(Index p, Index block, int thread, Shared& shared, Local& local) const {
        const ProductPiece& piece = pieces[block % piece_count];
        const Index first_row = block / piece_count * ProductTile::rows;
        if (p == 2 * piece.chunks) {
            store(piece, first_row, thread, local);
        } else if (p % 2 == 0) {
            if (p == 0) {
                local.term = piece.first_term;
            }
            load(piece, first_row, thread, shared, local);
        } else {
            local.sums.add(shared, thread);
        }
    }

private:
    TETHER_HD void load(const ProductPiece& piece, Index first_row, int thread, Shared& shared,
                        Local& local) const {
        const ProductTermOnDevice<T>& term = terms[local.term];
        const Index count = rows();
        for (int i = thread; i < ProductTile::rows * ProductTile::depth; i += threads) {
            const int row = i / ProductTile::depth; // neighbouring threads read neighbouring columns
            const int k = i % ProductTile::depth;
            shared.a[k][row] = first_row + row < count && local.k + k < term.k
                                   ? term.x[(first_row + row) * term.x_stride + local.k + k]
                                   : T(0);
        }
        for (int i = thread; i < ProductTile::columns * ProductTile::depth; i += threads) {
            const bool along_n = term.n_stride == 1;
            const int k = along_n ? i / ProductTile::columns : i % ProductTile::depth;
            const int j = along_n ? i % ProductTile::columns : i / ProductTile::depth;
            shared.b[k][j] =
                j < piece.n && local.k + k < term.k
                    ? term.weight[(local.k + k) * term.k_stride + (piece.first_n + j) * term.n_stride]
                    : T(0);
        }
        local.k += ProductTile::depth;
        if (local.k >= term.k) {
            local.k = 0;
            ++local.term;
        }
    }
    TETHER_HD void store(const ProductPiece& piece, Index first_row, int thread, const Local& local) const {
        const Index count = rows();
        for (int i = 0; i < ProductTile::own_rows; ++i) {
            const Index row = first_row + ProductTile::first_row(thread) + i;
            for (int j = 0; j < ProductTile::own_columns && row < count; ++j) {
                const Index n = ProductTile::first_column(thread) + j;
                if (n < piece.n) {
                    const T b = piece.bias >= 0 ? bias[piece.bias + n] : T(0);
                    out[row * out_stride + piece.column + n] = b + local.sums.sum[i][j];
                }
            }
        }
    }
};

// Up to 32 x 64 elements of the gradient of one weight view: sums over rows and components of a[., i] b[.,
// j].
template <class T>
struct GradientPiece {
    const T* a; // row 0, component 0, first column of the tile
    Index a_stride, a_component, a_columns;
    const T* b;
    Index b_stride, b_component, b_columns;
    Index components;
    Index at;             // of the tile's first element in a lane's partial sums
    Index partial_stride; // between rows of the tile there
};

// partial[lane * elements + ...]: one block per lane and piece.
template <class T>
struct WeightGradientProduct {
    static constexpr int threads = ProductTile::threads;
    using Shared = ProductShared<T>;
    struct Local {
        ProductSums<T> sums;
    };

    LaneRows rows;
    const GradientPiece<T>* pieces;
    Index piece_count;
    Index elements;
    T* partial;

    TETHER_HD Index phases(Index block) const {
        const Index lane = block / piece_count;
        const Index inner = (rows.last(lane) - rows.first(lane)) * pieces[block % piece_count].components;
        return (inner + ProductTile::depth - 1) / ProductTile::depth * 2 + 1;
    }
    TETHER_HD void phase(Index p, Index block, int thread, Shared& shared, Local& local) const {
        const GradientPiece<T>& piece = pieces[block % piece_count];
        const Index lane = block / piece_count;
        if (p + 1 == phases(block)) {
            store(piece, lane, thread, local);
        } else if (p % 2 == 0) {
            load(piece, lane, p / 2 * ProductTile::depth, thread, shared);
        } else {
            local.sums.add(shared, thread);
        }
    }

private:
    TETHER_HD void load(const GradientPiece<T>& piece, Index lane, Index from, int thread,
                        Shared& shared) const {
        const Index first = rows.first(lane);
        const Index inner = (rows.last(lane) - first) * piece.components;
        for (int i = thread; i < ProductTile::rows * ProductTile::depth; i += threads) {
            const int k = i / ProductTile::rows;
            const int c = i % ProductTile::rows;
            shared.a[k][c] = from + k < inner && c < piece.a_columns
                                 ? piece.a[(first + (from + k) / piece.components) * piece.a_stride +
                                           (from + k) % piece.components * piece.a_component + c]
                                 : T(0);
        }
        for (int i = thread; i < ProductTile::columns * ProductTile::depth; i += threads) {
            const int k = i / ProductTile::columns;
            const int c = i % ProductTile::columns;
            shared.b[k][c] = from + k < inner && c < piece.b_columns
                                 ? piece.b[(first + (from + k) / piece.components) * piece.b_stride +
                                           (from + k) % piece.components * piece.b_component + c]
                                 : T(0);
        }
    }
    TETHER_HD void store(const GradientPiece<T>& piece, Index lane, int thread, const Local& local) const {
        for (int i = 0; i < ProductTile::own_rows; ++i) {
            for (int j = 0; j < ProductTile::own_columns; ++j) {
                const Index row = ProductTile::first_row(thread) + i;
                const Index column = ProductTile::first_column(thread) + j;
                if (row < piece.a_columns && column < piece.b_columns) {
                    partial[lane * elements + piece.at + row * piece.partial_stride + column] =
                        local.sums.sum[i][j];
                }
            }
        }
    }
};

// Columns of several inputs side by side, and a last one of ones.
template <class T>
struct ColumnPlace {
    const T* x; // row 0
    Index stride;
};
template <class T>
struct SideBySideLeaf {
    const ColumnPlace<T>* columns;
    Index count;
    TETHER_HD T operator()(Index row, Index c) const {
        return c < count ? columns[c].x[row * columns[c].stride] : T(1);
    }
};

} // namespace tether::kernels
