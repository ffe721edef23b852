// Matrix products on a device: tiles, sums, and gradients of weights as teams of threads over tiles. An
// element of a result is one chain of fused multiply-adds in a fixed order (for gradients of weights over the
// rows of a lane and their components), whatever the number of rows, lanes on a device or devices. A block of
// 128 threads makes 32 rows x 64 columns, each thread 4 x 4; 32 steps of the inner dimension go through
// shared memory at a time, in two halves used in turn. In another precision than `exact` operands are rounded
// on their way and tensor cores make the sums (device/tensor_sums.hpp). Products of rows and weights:
// block_product.hpp, and row_program.hpp for small batches.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/device/tensor_sums.hpp"
#include "tether/kernels/batch_rows.hpp"
#include "tether/kernels/lane_sums.hpp"

#include <cstdint>
#include <type_traits>
#include <utility>

namespace tether::kernels {

using device::ProductPrecision;

struct ProductTile {
    static constexpr int threads = 128;
    static constexpr int rows = 32, columns = 64, depth = 32; // depth: of the inner dimension in one go
    static constexpr int own_rows = 4, own_columns = 4;
    TETHER_HD static int first_row(int thread) { return thread / (columns / own_columns) * own_rows; }
    TETHER_HD static int first_column(int thread) { return thread % (columns / own_columns) * own_columns; }
};

// Rows of the shared tiles begin four banks apart, so that 8 steps of 4 rows, which 32 threads bring at a
// time, go to 32 different banks. (Numbers of 8 bytes would not fit then.)
template <class T>
struct ProductShared {
    static constexpr int spare = sizeof(T) == 4 ? 4 : 0;
    T a[ProductTile::depth][ProductTile::rows + spare];
    T b[ProductTile::depth][ProductTile::columns + spare];
};

// What a thread carries from memory to the shared tiles: it asks for the next step's numbers, adds the
// products of this step while they are on their way, and puts them down in the other half of shared memory.
template <class T>
struct ProductStage {
    static constexpr int of_a = ProductTile::rows * ProductTile::depth / ProductTile::threads;
    static constexpr int of_b = ProductTile::columns * ProductTile::depth / ProductTile::threads;
    T a[of_a] = {}, b[of_b] = {};
};

template <class T>
struct ProductSums {
    static constexpr bool deposits = false; // every thread has the numbers that it stores
    T sum[ProductTile::own_rows][ProductTile::own_columns] = {};
    TETHER_HD T at(const ProductShared<T>&, int, int i, int j) const { return sum[i][j]; }
    TETHER_HD void add(const ProductShared<T>& shared, int thread) {
        add_all(shared, ProductTile::first_row(thread), ProductTile::first_column(thread),
                std::make_integer_sequence<int, ProductTile::depth>());
    }

private:
    template <int... K>
    TETHER_HD void add_all(const ProductShared<T>& shared, int row, int column,
                           std::integer_sequence<int, K...>) {
        (add_one(shared.a[K] + row, shared.b[K] + column), ...);
    }
    TETHER_HD void add_one(const T* a, const T* b) {
        for (int i = 0; i < ProductTile::own_rows; ++i) {
            for (int j = 0; j < ProductTile::own_columns; ++j) {
                sum[i][j] += a[i] * b[j];
            }
        }
    }
};

// The same by tensor cores: numbers go through shared memory to the threads that store them.
struct ProductTensorSums {
    static constexpr bool deposits = true;
    using Tile = float[ProductTile::rows][ProductTile::columns];
    static_assert(sizeof(Tile) <= sizeof(ProductShared<float>));
    device::TensorSums<ProductTile::rows, ProductTile::columns, ProductTile::depth,
                       ProductShared<float>::spare>
        sums;
    TETHER_HD void add(const ProductShared<float>& shared, int thread) {
        sums.add(shared.a, shared.b, thread);
    }
    TETHER_HD void deposit(ProductShared<float>& to, int thread) {
        sums.deposit(reinterpret_cast<Tile&>(to), thread);
    }
    TETHER_HD float at(const ProductShared<float>& from, int thread, int i, int j) const {
        return reinterpret_cast<const Tile&>(
            from)[ProductTile::first_row(thread) + i][ProductTile::first_column(thread) + j];
    }
};

template <class T, ProductPrecision precision>
struct ProductSumsFor {
    using type = ProductTensorSums;
};
template <class T>
struct ProductSumsFor<T, ProductPrecision::exact> {
    using type = ProductSums<T>;
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

// Up to 32 x 64 elements of the gradient of one weight view: sums over rows and components of a[., i] b[.,
// j]. Those of lane l lie from partial + l · lane_stride + at on.
template <class T>
struct GradientPiece {
    const T* a; // row 0, component 0, first column of the tile
    Index a_stride, a_component, a_columns;
    const T* b;
    Index b_stride, b_component, b_columns;
    Index components;
    Index at;             // of the tile's first element in a lane's partial sums
    Index partial_stride; // between rows of the tile there
    LaneRows rows = {};
    T* partial = nullptr;
    Index lane_stride = 0;
};

// One block per piece and lane, all lanes of a piece side by side; pieces may be of different values.
template <class T, ProductPrecision precision = ProductPrecision::exact>
struct WeightGradientProduct {
    static constexpr int threads = ProductTile::threads;
    using Sums = typename ProductSumsFor<T, precision>::type;
    struct Shared {
        ProductShared<T> half[2];
    };
    struct Local {
        Sums sums;
    };

    const GradientPiece<T>* pieces;
    Index lanes;

    TETHER_HD Index phases(Index block) const {
        return steps(pieces[block / lanes], block % lanes) + (Sums::deposits ? 2 : 1);
    }
    TETHER_HD void phase(Index p, Index block, int thread, Shared& shared, Local& local) const {
        const GradientPiece<T> piece = pieces[block / lanes];
        const Index lane = block % lanes;
        const Index count = steps(piece, lane);
        ProductStage<T> stage;
        if (p < count) {
            fetch(piece, lane, static_cast<std::uint32_t>(p * ProductTile::depth), thread, stage);
        }
        if (p > 0 && p <= count) {
            local.sums.add(shared.half[(p - 1) % 2], thread);
        }
        if (p < count) {
            put(thread, stage, shared.half[p % 2]);
            return;
        }
        if constexpr (Sums::deposits) {
            if (p == count) {
                local.sums.deposit(shared.half[p % 2], thread);
                return;
            }
        }
        store(piece, lane, thread, shared.half[(p + 1) % 2], local);
    }

private:
    TETHER_HD static T operand(T x) {
        if constexpr (Sums::deposits) {
            return device::rounded<precision>(x);
        } else {
            return x;
        }
    }
    TETHER_HD Index steps(const GradientPiece<T>& piece, Index lane) const {
        const Index inner = (piece.rows.last(lane) - piece.rows.first(lane)) * piece.components;
        return (inner + ProductTile::depth - 1) / ProductTile::depth;
    }
    TETHER_HD void fetch(const GradientPiece<T>& piece, Index lane, std::uint32_t from, int thread,
                         ProductStage<T>& stage) const {
        if (piece.components == 1) { // most work is that of scalars
            fetch_scalars(piece, lane, from, thread, stage);
        } else {
            fetch_components(piece, lane, from, thread, stage);
        }
    }
    TETHER_HD static void fetch_scalars(const GradientPiece<T>& piece, Index lane, std::uint32_t from,
                                        int thread, ProductStage<T>& stage) {
        const Index first = piece.rows.first(lane);
        const auto left = static_cast<int>(piece.rows.last(lane) - first - from); // rows
        fetch_rows<ProductTile::rows>(piece.a + (first + from) * piece.a_stride, piece.a_stride, left,
                                      static_cast<int>(piece.a_columns), thread, stage.a);
        fetch_rows<ProductTile::columns>(piece.b + (first + from) * piece.b_stride, piece.b_stride, left,
                                         static_cast<int>(piece.b_columns), thread, stage.b);
    }
    // `depth` rows of up to `width` numbers.
    template <int width, int count>
    TETHER_HD static void fetch_rows(const T* x, Index stride, int rows, int columns, int thread,
                                     T (&to)[count]) {
        constexpr int at_once = threads / width;
        const int c = thread % width;
        const int row = thread / width;
        const T* from = x + row * stride + c;
        const Index next = at_once * stride;
        const bool mine = c < columns;
        TETHER_UNROLL
        for (int s = 0; s < count; ++s, from += next) {
            to[s] = mine && row + s * at_once < rows ? *from : T(0);
        }
    }
    // Steps of a lane are counted in 32 bits: a 64-bit division costs twenty times as much.
    TETHER_HD static void fetch_components(const GradientPiece<T>& piece, Index lane, std::uint32_t from,
                                           int thread, ProductStage<T>& stage) {
        const auto components = static_cast<std::uint32_t>(piece.components);
        const Index first = piece.rows.first(lane);
        const auto inner = static_cast<std::uint32_t>(piece.rows.last(lane) - first) * components;
        const T* a = piece.a + first * piece.a_stride;
        const T* b = piece.b + first * piece.b_stride;
        for (int s = 0; s < ProductStage<T>::of_a; ++s) {
            const int i = thread + s * threads;
            const std::uint32_t k = from + static_cast<std::uint32_t>(i / ProductTile::rows);
            const int c = i % ProductTile::rows;
            const std::uint32_t row = k / components;
            stage.a[s] = k < inner && c < piece.a_columns
                             ? a[row * piece.a_stride + (k - row * components) * piece.a_component + c]
                             : T(0);
        }
        for (int s = 0; s < ProductStage<T>::of_b; ++s) {
            const int i = thread + s * threads;
            const std::uint32_t k = from + static_cast<std::uint32_t>(i / ProductTile::columns);
            const int c = i % ProductTile::columns;
            const std::uint32_t row = k / components;
            stage.b[s] = k < inner && c < piece.b_columns
                             ? b[row * piece.b_stride + (k - row * components) * piece.b_component + c]
                             : T(0);
        }
    }
    TETHER_HD void put(int thread, const ProductStage<T>& stage, ProductShared<T>& to) const {
        for (int s = 0; s < ProductStage<T>::of_a; ++s) {
            const int i = thread + s * threads;
            to.a[i / ProductTile::rows][i % ProductTile::rows] = operand(stage.a[s]);
        }
        for (int s = 0; s < ProductStage<T>::of_b; ++s) {
            const int i = thread + s * threads;
            to.b[i / ProductTile::columns][i % ProductTile::columns] = operand(stage.b[s]);
        }
    }
    TETHER_HD void store(const GradientPiece<T>& piece, Index lane, int thread, const ProductShared<T>& tile,
                         const Local& local) const {
        for (int i = 0; i < ProductTile::own_rows; ++i) {
            for (int j = 0; j < ProductTile::own_columns; ++j) {
                const Index row = ProductTile::first_row(thread) + i;
                const Index column = ProductTile::first_column(thread) + j;
                if (row < piece.a_columns && column < piece.b_columns) {
                    piece.partial[lane * piece.lane_stride + piece.at + row * piece.partial_stride + column] =
                        local.sums.at(tile, thread, static_cast<int>(i), static_cast<int>(j));
                }
            }
        }
    }
};

// Calls call.operator()<precision>(): only float32 has others than exact.
template <class T, class Call>
void with_precision(ProductPrecision precision, const Call& call) {
    if constexpr (std::is_same_v<T, float>) {
        switch (precision) {
        case ProductPrecision::tf32: return call.template operator()<ProductPrecision::tf32>();
        case ProductPrecision::bf16: return call.template operator()<ProductPrecision::bf16>();
        case ProductPrecision::exact: break;
        }
    }
    call.template operator()<ProductPrecision::exact>();
}

} // namespace tether::kernels
