// The functor that takes rows through a program (tether/kernels/row_program.hpp).
#pragma once

#include "row_steps.hpp"

#include "tether/device/async_copy.hpp"
#include "tether/kernels/block_product.hpp"
#include "tether/kernels/row_program.hpp"

#include <algorithm>
#include <cstring>

namespace tether::kernels {

template <class T>
struct RowTile {
    static constexpr int threads = 128, warps = 4;
    static constexpr int rows = 16, columns = 32;
    static constexpr int depth = sizeof(T) == 4 ? 64 : 16; // of the inner dimension in one go
    static constexpr int places = 3;                       // places in shared memory that are filled in turn
};

// Up to `depth` steps of the inner dimension of one tile.
template <class T>
struct RowFetch {
    const T* x = nullptr; // row 0 of the value, first step
    const T* weight = nullptr;
    Index x_stride = 0;
    std::int32_t k_stride = 0, n_stride = 0;
    std::int32_t k = 0, columns = 0;
    std::int32_t times = 1, tile = 0; // rows of the value per row of the axis; first row, from the team's on
};
// Where a tile goes when its sums are there.
template <class T>
struct RowFinish {
    T* out = nullptr;        // row 0, column 0; null: nothing to finish
    const T* bias = nullptr; // of the tile's first column
    Index stride = 0, column = 0;
    std::int32_t columns = 0, times = 1, tile = 0;
    std::int32_t first_then = 0, then_count = 0;
};
// One phase of a part that makes products: three tiles at once, one on its way, one added, one finished.
template <class T>
struct RowProductPhase {
    RowFetch<T> fetch; // k = 0: nothing
    std::int32_t fetch_to = 0, add_from = 0;
    std::int32_t adds = -1; // steps of the inner dimension there; -1: nothing to add
    std::int32_t begins = 0, deposits = 0;
    std::int32_t waits_for_all = 0; // that was fetched, else for what was before this phase
    RowFinish<T> finish;
};

template <class T>
struct RowProductShared {
    using Tile = RowTile<T>;
    T a[Tile::places][Tile::depth][Tile::rows];
    T b[Tile::places][Tile::depth][Tile::columns];
    T partial[Tile::warps][Tile::rows][Tile::columns];
};
struct NoRowProducts {};

template <class T>
struct RowLocal {
    Index rows = 0;            // there are
    Index first = 0, last = 0; // the part's own
};
template <class T>
struct RowProductLocal : RowLocal<T> {
    device::AsyncCopies copies;
    T sum[4][4] = {};
};

template <class T, bool products>
struct RowProgram {
    using Tile = RowTile<T>;
    static constexpr int threads = Tile::threads;
    struct Shared {
        RowStep step[2]; // the one at hand, and the next one on its way
        std::conditional_t<products, RowProductShared<T>, NoRowProducts> tiles;
    };
    using Local = std::conditional_t<products, RowProductLocal<T>, RowLocal<T>>;

    RowCount rows; // of the axis
    Index block_rows;
    const RowStep* steps;
    const RowStep* then;
    std::int32_t parts;
    std::int32_t begin[device::most_parts + 1];

    TETHER_HD Index phases(Index block, int part) const {
        return block * block_rows < rows() ? begin[part + 1] - begin[part] + 1 : 0;
    }
    TETHER_HD void phase(Index p, Index block, int part, int thread, Shared& shared, Local& local) const {
        constexpr int words = sizeof(RowStep) / 4;
        static_assert(words <= threads);
        const std::size_t own_byte = sizeof(std::uint32_t) * static_cast<std::size_t>(thread);
        const bool brings = p < begin[part + 1] - begin[part] && thread < words;
        std::uint32_t word = 0;
        if (brings) {
            const auto* from = reinterpret_cast<const std::byte*>(steps + begin[part] + p) + own_byte;
            std::memcpy(&word, __builtin_assume_aligned(from, sizeof word), sizeof word);
        }
        if (p == 0) {
            local.rows = rows();
            const Index share = (block_rows + parts - 1) / parts;
            const Index end = (block + 1) * block_rows < local.rows ? (block + 1) * block_rows : local.rows;
            local.first = block * block_rows + part * share;
            local.last = local.first + share < end ? local.first + share : end;
        } else {
            const RowStep& step = shared.step[(p - 1) % 2];
            if (step.kind >= 0) {
                with_functor(StepFunctors<T>{}, step,
                             Items{local.first * step.row_items + thread, local.last * step.row_items});
            } else if constexpr (products) {
                if (step.kind == RowStep::product) {
                    multiply(*reinterpret_cast<const RowProductPhase<T>*>(step.functor), block, thread,
                             shared.tiles, local);
                }
            }
        }
        if (brings) {
            auto* to = reinterpret_cast<std::byte*>(&shared.step[p % 2]) + own_byte;
            std::memcpy(__builtin_assume_aligned(to, sizeof word), &word, sizeof word);
        }
    }
    // Whether all parts meet after a phase.
    TETHER_HD bool meets(Index p, const Shared& shared) const {
        return p > 0 && shared.step[(p - 1) % 2].meets != 0;
    }

private:
    struct Items {
        Index from, to;
        template <class F>
        TETHER_HD void operator()(const F& f) const {
            static_assert(sizeof(F) <= sizeof(RowStep::functor) && alignof(F) <= 16);
            for (Index i = from; i < to; i += threads) {
                f(i);
            }
        }
    };
    // Where numbers lie in shared memory: groups of four change places from step to step, so that neither
    // those who bring 8 steps of 4 rows nor those who bring 32 columns meet in a bank.
    TETHER_HD static int a_at(int k, int row) { return row ^ (k / 2 % 4 * 4); }
    TETHER_HD static int b_at(int k, int column) { return column ^ (k % 8 * 4); }
    // Numbers along the inner dimension: 32 threads take 8 steps of 4 rows, whole sectors of memory.
    struct Along {
        static constexpr int groups = Tile::depth / 8 < Tile::warps ? Tile::depth / 8 : Tile::warps;
        static constexpr int passes = Tile::depth / (8 * groups);
        static constexpr int rows_at_once = 4 * Tile::warps / groups;
        TETHER_HD static int k(int thread, int turn) {
            return thread % 8 + thread / 32 % groups * 8 + turn % passes * (8 * groups);
        }
        TETHER_HD static int row(int thread, int turn) {
            return thread / 8 % 4 + thread / 32 / groups * 4 + turn / passes * rows_at_once;
        }
    };

    // The first row of a tile of a value, and how many there are of it.
    struct Rows {
        Index first;
        int left;
    };
    TETHER_HD Rows rows_of(Index block, Index count, std::int32_t times, std::int32_t tile) const {
        const Index end = (block + 1) * block_rows < count ? (block + 1) * block_rows : count;
        const Index first = block * block_rows * times + tile;
        const Index left = end * times - first;
        return {first, static_cast<int>(left < Tile::rows ? left : Tile::rows)};
    }
    TETHER_HD void multiply(const RowProductPhase<T>& phase, Index block, int thread,
                            RowProductShared<T>& tiles, RowProductLocal<T>& local) const {
        if (phase.fetch.k > 0) {
            const RowFetch<T> f = phase.fetch;
            const Rows of_tile = rows_of(block, local.rows, f.times, f.tile);
            const bool whole = f.k == Tile::depth && f.columns == Tile::columns && of_tile.left == Tile::rows;
            if (whole) { // most are, and need no questions
                fetch<true>(f, of_tile, thread, tiles.a[phase.fetch_to], tiles.b[phase.fetch_to],
                            local.copies);
            } else {
                fetch<false>(f, of_tile, thread, tiles.a[phase.fetch_to], tiles.b[phase.fetch_to],
                             local.copies);
            }
        }
        local.copies.commit();
        if (phase.adds >= 0) {
            if (phase.begins != 0) {
                for (auto& of_row : local.sum) {
                    for (T& x : of_row) {
                        x = 0;
                    }
                }
            }
            add(phase.adds, thread, tiles.a[phase.add_from], tiles.b[phase.add_from], local.sum);
            if (phase.deposits != 0) {
                deposit(thread, local.sum, tiles.partial[thread / 32]);
            }
        }
        if (phase.finish.out != nullptr) {
            const RowFinish<T> f = phase.finish;
            finish(f, rows_of(block, local.rows, f.times, f.tile), thread, tiles.partial);
        }
        if (phase.waits_for_all != 0) {
            local.copies.template wait<0>();
        } else {
            local.copies.template wait<1>();
        }
    }
    // Up to the next multiple of 8 steps, which add() takes: zero beyond the last.
    template <bool whole>
    TETHER_HD static void fetch(const RowFetch<T>& f, Rows of_tile, int thread,
                                T (&a)[Tile::depth][Tile::rows], T (&b)[Tile::depth][Tile::columns],
                                device::AsyncCopies& copies) {
        const int end = (f.k + 7) / 8 * 8;
        const T* x = f.x + of_tile.first * f.x_stride;
        TETHER_UNROLL
        for (int turn = 0; turn < Tile::depth * Tile::rows / threads; ++turn) {
            const int k = Along::k(thread, turn), row = Along::row(thread, turn);
            if (whole || k < end) {
                copies.copy(&a[k][a_at(k, row)], x + row * f.x_stride + k,
                            whole || (k < f.k && row < of_tile.left));
            }
        }
        if (f.n_stride == 1) {
            const int j = thread % Tile::columns;
            TETHER_UNROLL
            for (int turn = 0; turn < Tile::depth / Tile::warps; ++turn) {
                const int k = thread / Tile::columns + turn * Tile::warps;
                if (whole || k < end) {
                    copies.copy(&b[k][b_at(k, j)], f.weight + Index{k} * f.k_stride + j,
                                whole || (k < f.k && j < f.columns));
                }
            }
        } else {
            TETHER_UNROLL
            for (int turn = 0; turn < Tile::depth * Tile::columns / threads; ++turn) {
                const int k = Along::k(thread, turn), j = Along::row(thread, turn);
                if (whole || k < end) {
                    copies.copy(&b[k][b_at(k, j)], f.weight + Index{k} * f.k_stride + Index{j} * f.n_stride,
                                whole || (k < f.k && j < f.columns));
                }
            }
        }
    }
    // A warp has its quarter of the steps for the whole tile, eight at a time; each thread 4 x 4 numbers.
    TETHER_HD static int own_row(int thread) { return thread % 32 / 8 * 4; }
    TETHER_HD static int own_column(int thread) { return thread % 8 * 4; }
    TETHER_HD static void add(int steps, int thread, const T (&a)[Tile::depth][Tile::rows],
                              const T (&b)[Tile::depth][Tile::columns], T (&sum)[4][4]) {
        constexpr int at_once = 8;
        const int quarter = (steps + Tile::warps * at_once - 1) / (Tile::warps * at_once) * at_once;
        const int first = thread / 32 * quarter;
        const int last = first + quarter < steps ? first + quarter : steps;
        for (int k = first; k < last; k += at_once) {
            TETHER_UNROLL
            for (int s = 0; s < at_once; ++s) {
                const FourNumbers<T> x = four_of(&a[k + s][a_at(s, own_row(thread))]);
                const FourNumbers<T> w = four_of(&b[k + s][b_at(s, own_column(thread))]);
                for (int i = 0; i < 4; ++i) {
                    for (int j = 0; j < 4; ++j) {
                        sum[i][j] += x.x[i] * w.x[j];
                    }
                }
            }
        }
    }
    TETHER_HD static void deposit(int thread, const T (&sum)[4][4], T (&to)[Tile::rows][Tile::columns]) {
        for (int i = 0; i < 4; ++i) {
            for (int j = 0; j < 4; ++j) {
                to[own_row(thread) + i][own_column(thread) + j] = sum[i][j];
            }
        }
    }
    TETHER_HD void finish(const RowFinish<T>& f, Rows of_tile, int thread,
                          const T (&partial)[Tile::warps][Tile::rows][Tile::columns]) const {
        const int column = thread % Tile::columns;
        for (int row = thread / Tile::columns; row < of_tile.left && column < f.columns; row += Tile::warps) {
            const T sum = (partial[0][row][column] + partial[1][row][column]) +
                          (partial[2][row][column] + partial[3][row][column]);
            const Index at = (of_tile.first + row) * f.stride + f.column + column;
            f.out[at] = (f.bias == nullptr ? T(0) : f.bias[column]) + sum;
            for (std::int32_t s = f.first_then; s < f.first_then + f.then_count; ++s) {
                with_functor(StepFunctors<T>{}, then[s], StepOfNumber{at});
            }
        }
    }
};

template <class T>
using RowProgramFunctors = Functors<RowProgram<T, false>, RowProgram<T, true>>;

} // namespace tether::kernels
