// Products of rows and weights as launches of their own, for batches that fill a device. A number is one
// chain of fused multiply-adds over the terms, then k, whatever the number of rows.
//
// In exact precision a block of 128 threads makes 64 rows x 64 columns (32 x 64 in double), each thread 8 x 4
// numbers, so that it adds 32 times for every number that it brings; 32 steps of the inner dimension travel
// to one half of shared memory (device/async_copy.hpp) while the other half is added.
#pragma once

#include "tether/device/async_copy.hpp"
#include "tether/kernels/product.hpp"

#include <cstring>

namespace tether::kernels {

// With rounded operands.
template <class T, ProductPrecision precision = ProductPrecision::exact>
struct BlockProduct {
    static constexpr int threads = ProductTile::threads, tile_rows = ProductTile::rows;
    using Sums = ProductTensorSums;
    struct Shared {
        ProductShared<T> half[2];
    };
    struct Local {
        Sums sums;
        Index term = 0, k = 0; // of the step at hand
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
        return first < rows() ? pieces[block % piece_count].chunks + 2 : 0;
    }
    TETHER_HD void phase(Index p, Index block, int thread, Shared& shared, Local& local) const {
        phase(p, block, thread, shared, local, [](Index) {});
    }
    // then(i): after number i of the result was written, by the same thread.
    template <class Then>
    TETHER_HD void phase(Index p, Index block, int thread, Shared& shared, Local& local,
                         const Then& then) const {
        const ProductPiece piece = pieces[block % piece_count];
        const Index first_row = block / piece_count * ProductTile::rows;
        ProductStage<T> stage;
        if (p == 0) {
            local.term = piece.first_term;
        }
        if (p < piece.chunks) {
            fetch(piece, first_row, thread, stage, local);
        }
        if (p > 0 && p <= piece.chunks) {
            local.sums.add(shared.half[(p - 1) % 2], thread);
        }
        if (p < piece.chunks) {
            put(thread, stage, shared.half[p % 2], local);
            return;
        }
        if (p == piece.chunks) {
            local.sums.deposit(shared.half[p % 2], thread);
            return;
        }
        store(piece, first_row, thread, shared.half[(p + 1) % 2], local, then);
    }

private:
    TETHER_HD static T operand(T x) { return device::rounded<precision>(x); }
    // Numbers along the inner dimension: 32 threads take 8 of each of 4 rows, whole sectors of memory.
    TETHER_HD static int row_of(int i) { return i / 128 * 4 + i / 8 % 4; }
    TETHER_HD static int k_of(int i) { return i / 32 % 4 * 8 + i % 8; }

    TETHER_HD void fetch(const ProductPiece& piece, Index first_row, int thread, ProductStage<T>& stage,
                         const Local& local) const {
        const ProductTermOnDevice<T> term = terms[local.term];
        const auto left_rows =
            static_cast<int>(rows() - first_row < ProductTile::rows ? rows() - first_row : ProductTile::rows);
        const auto left =
            static_cast<int>(term.k - local.k < ProductTile::depth ? term.k - local.k : ProductTile::depth);
        const T* x = term.x + first_row * term.x_stride + local.k;
        const T* w = term.weight + local.k * term.k_stride + piece.first_n * term.n_stride;
        const auto columns = static_cast<int>(piece.n);
        for (int s = 0; s < ProductStage<T>::of_a; ++s) {
            const int row = row_of(thread + s * threads), k = k_of(thread + s * threads);
            stage.a[s] = row < left_rows && k < left ? x[row * term.x_stride + k] : T(0);
        }
        const bool along_n = term.n_stride == 1;
        for (int s = 0; s < ProductStage<T>::of_b; ++s) {
            const int i = thread + s * threads;
            const int k = along_n ? i / ProductTile::columns : k_of(i);
            const int j = along_n ? i % ProductTile::columns : row_of(i);
            stage.b[s] = j < columns && k < left ? w[k * term.k_stride + j * term.n_stride] : T(0);
        }
    }
    TETHER_HD void put(int thread, const ProductStage<T>& stage, ProductShared<T>& to, Local& local) const {
        const ProductTermOnDevice<T>& term = terms[local.term];
        const bool along_n = term.n_stride == 1;
        for (int s = 0; s < ProductStage<T>::of_a; ++s) {
            to.a[k_of(thread + s * threads)][row_of(thread + s * threads)] = operand(stage.a[s]);
        }
        for (int s = 0; s < ProductStage<T>::of_b; ++s) {
            const int i = thread + s * threads;
            to.b[along_n ? i / ProductTile::columns : k_of(i)]
                [along_n ? i % ProductTile::columns : row_of(i)] = operand(stage.b[s]);
        }
        local.k += ProductTile::depth;
        if (local.k >= term.k) {
            local.k = 0;
            ++local.term;
        }
    }
    template <class Then>
    TETHER_HD void store(const ProductPiece& piece, Index first_row, int thread, const ProductShared<T>& tile,
                         const Local& local, const Then& then) const {
        const Index count = rows();
        for (int i = 0; i < ProductTile::own_rows; ++i) {
            const Index row = first_row + ProductTile::first_row(thread) + i;
            for (int j = 0; j < ProductTile::own_columns && row < count; ++j) {
                const Index n = ProductTile::first_column(thread) + j;
                if (n < piece.n) {
                    const T b = piece.bias >= 0 ? bias[piece.bias + n] : T(0);
                    const Index at = row * out_stride + piece.column + n;
                    out[at] = b + local.sums.at(tile, thread, i, j);
                    then(at);
                }
            }
        }
    }
};

// Numbers in groups of four, which go from and to shared memory at once.
template <class T>
struct alignas(16) FourNumbers {
    T x[4];
};
template <class T>
TETHER_HD FourNumbers<T> four_of(const T* at) {
    FourNumbers<T> four;
    std::memcpy(&four, __builtin_assume_aligned(at, 16), sizeof four);
    return four;
}

template <class T>
struct BlockProduct<T, ProductPrecision::exact> {
    static constexpr int threads = ProductTile::threads, depth = ProductTile::depth;
    static constexpr int tile_columns = ProductTile::columns;
    static constexpr int tile_rows = sizeof(T) == 4 ? 64 : 32;
    static constexpr int own_rows = tile_rows / 8, own_columns = 4;
    struct Shared {
        T a[2][depth][tile_rows];
        T b[2][depth][tile_columns];
    };
    struct Local {
        device::AsyncCopies copies;
        T sum[own_rows][own_columns] = {};
        Index rows = 0;        // there are
        Index term = 0, k = 0; // of the next steps to bring
        int steps = 0;         // brought last
    };

    RowCount rows;
    const ProductPiece* pieces;
    Index piece_count;
    const ProductTermOnDevice<T>* terms;
    const T* bias;
    T* out;
    Index out_stride;

    TETHER_HD Index phases(Index block) const {
        return block / piece_count * tile_rows < rows() ? pieces[block % piece_count].chunks + 1 : 0;
    }
    TETHER_HD void phase(Index p, Index block, int thread, Shared& shared, Local& local) const {
        phase(p, block, thread, shared, local, [](Index) {});
    }
    // then(i): after number i of the result was written, by the same thread.
    template <class Then>
    TETHER_HD void phase(Index p, Index block, int thread, Shared& shared, Local& local,
                         const Then& then) const {
        const ProductPiece piece = pieces[block % piece_count];
        const Index first_row = block / piece_count * tile_rows;
        if (p == 0) {
            local.term = piece.first_term;
            local.rows = rows();
        }
        const int steps = local.steps;
        if (p < piece.chunks) {
            fetch(piece, first_row, thread, shared.a[p % 2], shared.b[p % 2], local);
            local.copies.commit();
        }
        if (p > 0) {
            add(steps, thread, shared.a[(p - 1) % 2], shared.b[(p - 1) % 2], local.sum);
        }
        if (p < piece.chunks) {
            local.copies.template wait<0>();
        } else {
            store(piece, first_row, thread, local, then);
        }
    }

private:
    // Where numbers lie in shared memory: groups of four change places from step to step, so that neither
    // those who bring 8 steps of 4 rows nor those who bring a row of columns meet in a bank.
    TETHER_HD static int at(int k, int i) { return i ^ (k % 8 * 4); }
    // Numbers along the inner dimension: 32 threads take 8 steps of 4 rows, whole sectors of memory.
    TETHER_HD static int k_along(int thread) { return thread % 8 + thread / 32 * 8; }
    TETHER_HD static int row_along(int thread, int turn) { return thread / 8 % 4 + turn * 4; }
    static_assert(threads / 32 * 8 == depth);

    TETHER_HD void fetch(const ProductPiece& piece, Index first_row, int thread, T (&a)[depth][tile_rows],
                         T (&b)[depth][tile_columns], Local& local) const {
        const ProductTermOnDevice<T> term = terms[local.term];
        const Index left = local.rows - first_row;
        const auto count = static_cast<int>(left < tile_rows ? left : tile_rows);
        const auto n = static_cast<int>(piece.n);
        local.steps = static_cast<int>(term.k - local.k < depth ? term.k - local.k : depth);
        const T* x = term.x + first_row * term.x_stride + local.k;
        const T* w = term.weight + local.k * term.k_stride + piece.first_n * term.n_stride;
        if (local.steps == depth && count == tile_rows && n == tile_columns) { // most need no questions
            bring<true>(term, x, w, count, n, thread, a, b, local);
        } else {
            bring<false>(term, x, w, count, n, thread, a, b, local);
        }
        local.k += depth;
        if (local.k >= term.k) {
            local.k = 0;
            ++local.term;
        }
    }
    // Up to the next multiple of 8 steps, which add() takes: zero beyond the last.
    template <bool whole>
    TETHER_HD static void bring(const ProductTermOnDevice<T>& term, const T* x, const T* w, int count, int n,
                                int thread, T (&a)[depth][tile_rows], T (&b)[depth][tile_columns],
                                Local& local) {
        const int end = (local.steps + 7) / 8 * 8;
        const int k = k_along(thread);
        if (whole || k < end) {
            const T* from = x + k + row_along(thread, 0) * term.x_stride;
            const Index next = 4 * term.x_stride;
            TETHER_UNROLL
            for (int turn = 0; turn < tile_rows / 4; ++turn, from += next) {
                const int row = row_along(thread, turn);
                local.copies.copy(&a[k][at(k, row)], from, whole || (k < local.steps && row < count));
            }
        }
        if (term.n_stride == 1) {
            constexpr int at_once = threads / tile_columns;
            const int j = thread % tile_columns;
            const T* from = w + thread / tile_columns * term.k_stride + j;
            const Index next = at_once * term.k_stride;
            TETHER_UNROLL
            for (int turn = 0; turn < depth / at_once; ++turn, from += next) {
                const int s = thread / tile_columns + turn * at_once;
                if (whole || s < end) {
                    local.copies.copy(&b[s][at(s, j)], from, whole || (s < local.steps && j < n));
                }
            }
        } else if (whole || k < end) {
            const T* from = w + k * term.k_stride + row_along(thread, 0) * term.n_stride;
            const Index next = 4 * term.n_stride;
            TETHER_UNROLL
            for (int turn = 0; turn < tile_columns / 4; ++turn, from += next) {
                const int j = row_along(thread, turn);
                local.copies.copy(&b[k][at(k, j)], from, whole || (k < local.steps && j < n));
            }
        }
    }
    TETHER_HD static int first_row_of(int thread) { return thread / 16 * own_rows; }
    TETHER_HD static int first_column_of(int thread) { return thread % 16 * own_columns; }
    TETHER_HD static void add(int steps, int thread, const T (&a)[depth][tile_rows],
                              const T (&b)[depth][tile_columns], T (&sum)[own_rows][own_columns]) {
        constexpr int at_once = 8;
        const int row = first_row_of(thread), column = first_column_of(thread);
        for (int k = 0; k < steps; k += at_once) {
            TETHER_UNROLL
            for (int s = 0; s < at_once; ++s) {
                const FourNumbers<T> w = four_of(&b[k + s][at(s, column)]);
                TETHER_UNROLL
                for (int i = 0; i < own_rows; i += 4) {
                    const FourNumbers<T> x = four_of(&a[k + s][at(s, row + i)]);
                    for (int q = 0; q < 4; ++q) {
                        for (int j = 0; j < own_columns; ++j) {
                            sum[i + q][j] += x.x[q] * w.x[j];
                        }
                    }
                }
            }
        }
    }
    template <class Then>
    TETHER_HD void store(const ProductPiece& piece, Index first_row, int thread, const Local& local,
                         const Then& then) const {
        TETHER_UNROLL
        for (int i = 0; i < own_rows; ++i) {
            const Index row = first_row + first_row_of(thread) + i;
            TETHER_UNROLL
            for (int j = 0; j < own_columns; ++j) {
                const Index n = first_column_of(thread) + j;
                if (row < local.rows && n < piece.n) {
                    const T b = piece.bias >= 0 ? bias[piece.bias + n] : T(0);
                    out[row * out_stride + piece.column + n] = b + local.sum[i][j];
                }
            }
        }
        // Not unrolled: what follows may be as long as all functors together.
        TETHER_ROLL
        for (int e = 0; e < own_rows * own_columns; ++e) {
            const Index row = first_row + first_row_of(thread) + e / own_columns;
            const Index n = first_column_of(thread) + e % own_columns;
            if (row < local.rows && n < piece.n) {
                then(row * out_stride + piece.column + n);
            }
        }
    }
};

} // namespace tether::kernels
