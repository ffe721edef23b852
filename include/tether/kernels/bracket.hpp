// The Lie bracket penalty of linear maps on a device (methods/bracket.hpp has the formulas): all sites at
// once, one thread per number of
//     left = (W, B_a),  product = left G + shift mᵀ = (W G + b mᵀ, P_a),  a = 0, 1, 2,
// one block per row for the sums over it, and one for the roots of the totals. Rows of a site: 4 out, block
// by block W, B_0, B_1, B_2.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"
#include "tether/kernels/parts.hpp"

#include <cmath>
#include <cstdint>

namespace tether::kernels {

// A sparse matrix by rows (or, turned around, by columns).
template <class T>
struct SparseLine {
    std::int32_t index;
    T value;
};
template <class T>
struct SparseLines {
    const std::int32_t* begin;
    const SparseLine<T>* entries;
    // Sum of value · f(index) over a line.
    template <class F>
    TETHER_HD T sum(Index line, const F& f) const {
        T total = 0;
        for (std::int32_t k = begin[line]; k < begin[line + 1]; ++k) {
            total += entries[k].value * f(Index{entries[k].index});
        }
        return total;
    }
};

// Where second moments lie (ops/gram.hpp): the blocks by part of columns and input of rows; columns 0: none.
struct MomentBlock {
    std::int32_t row, column, columns, offset;
};
struct MomentLayout {
    const std::int32_t *part_of_column, *input_of_row; // [in]
    const MomentBlock* blocks;                         // [parts x inputs]
    Index inputs, sum_offset, count_offset;
    template <class T>
    TETHER_HD T product(const T* moments, Index i, Index j) const {
        const MomentBlock* block = blocks + part_of_column[j] * inputs + input_of_row[i];
        if (block->columns == 0 || i < block->row) { // below the diagonal stands the other one
            block = blocks + part_of_column[i] * inputs + input_of_row[j];
            const Index swapped = i;
            i = j;
            j = swapped;
        }
        return moments[block->offset + (i - block->row) * block->columns + j - block->column];
    }
};

template <class T>
struct BracketMap {
    const T *weight, *bias, *moments; // bias may be null
    T *weight_gradient, *bias_gradient;
    Index in, out;
    bool constant; // c_a = b - A'_a b instead of 0
    MomentLayout layout;
    // A_a by columns and by rows, A'_a by rows and by columns.
    SparseLines<T> in_columns[3], in_rows[3], out_rows[3], out_columns[3];
    T *gram, *bracket, *product, *slope; // [in x in], [3 out x in], [4 out x in], [4 out]

    [[nodiscard]] TETHER_HD const T* left(Index row) const { // of 4 out
        return row < out ? weight + row * in : bracket + (row - out) * in;
    }
    // Row `row` of the bias or of c_a.
    [[nodiscard]] TETHER_HD T shift(Index row) const {
        const Index a = row / out - 1;
        const Index r = row % out;
        if (bias == nullptr || (a >= 0 && !constant)) {
            return T(0);
        }
        return a < 0 ? bias[r] : bias[r] - out_rows[a].sum(r, [&](Index k) { return bias[k]; });
    }
};

// All sites; item i of a launch is item i - first[s] of site s.
template <class T>
struct BracketMaps {
    const BracketMap<T>* maps;
    const Index* first;
    Index count;
    struct Item {
        const BracketMap<T>& map;
        Index i;
    };
    [[nodiscard]] TETHER_HD Item at(Index i) const {
        const Index s = part_at(count, i, [&](Index p) { return first[p]; });
        return {maps[s], i - first[s]};
    }
};

// Items: [in x in].
template <class T>
struct BracketGram {
    BracketMaps<T> maps;
    TETHER_HD void operator()(Index item) const {
        const auto [map, i] = maps.at(item);
        map.gram[i] = map.layout.product(map.moments, i / map.in, i % map.in);
    }
};

// B_a = W A_a - A'_a W. Items: [3 out x in].
template <class T>
struct BracketNumbers {
    BracketMaps<T> maps;
    TETHER_HD void operator()(Index item) const {
        const auto [map, i] = maps.at(item);
        const T* weight = map.weight;
        const Index in = map.in;
        const Index a = i / in / map.out;
        const Index row = i / in % map.out;
        const Index column = i % in;
        const T right = map.in_columns[a].sum(column, [=](Index k) { return weight[row * in + k]; });
        const T left = map.out_rows[a].sum(row, [=](Index k) { return weight[k * in + column]; });
        map.bracket[i] = right - left;
    }
};

// Items: [4 out x in].
template <class T>
struct BracketProducts {
    BracketMaps<T> maps;
    TETHER_HD void operator()(Index item) const {
        const auto [map, i] = maps.at(item);
        const Index row = i / map.in;
        const Index column = i % map.in;
        const T* left = map.left(row);
        T sum = 0;
        for (Index k = 0; k < map.in; ++k) {
            sum += left[k] * map.gram[k * map.in + column];
        }
        map.product[i] = sum + map.shift(row) * map.moments[map.layout.sum_offset + column];
    }
};

// What a row adds to LD (a >= 0) or NM, and the gradient with respect to its shift. Blocks: [4 out].
template <class T>
struct BracketRowSums {
    static constexpr int threads = 64;
    struct Shared {
        double square[threads], moment[threads];
    };
    struct Local {};
    BracketMaps<T> maps;
    double* to; // of all rows

    TETHER_HD Index phases(Index) const { return 2; }
    TETHER_HD void phase(Index p, Index block, int thread, Shared& shared, Local&) const {
        const auto [map, row] = maps.at(block);
        if (p == 0) {
            const T* left = map.left(row);
            double square = 0;
            double moment = 0;
            for (Index c = thread; c < map.in; c += threads) {
                const auto x = static_cast<double>(left[c]);
                square += static_cast<double>(map.product[row * map.in + c]) * x;
                moment += static_cast<double>(map.moments[map.layout.sum_offset + c]) * x;
            }
            shared.square[thread] = square;
            shared.moment[thread] = moment;
        } else if (thread == 0) {
            double square = 0;
            double moment = 0;
            for (int k = 0; k < threads; ++k) {
                square += shared.square[k];
                moment += shared.moment[k];
            }
            const auto shift = static_cast<double>(map.shift(row));
            const double r = moment + static_cast<double>(map.moments[map.layout.count_offset]) * shift;
            to[block] = square + shift * r;
            map.slope[row] = static_cast<T>(2 * r);
        }
    }
};

// Roots of LD and NM over all sites; the factors of their gradients, and the penalty.
template <class T>
struct BracketTotals {
    static constexpr int threads = 256;
    struct Shared {
        double lie[threads], size[threads];
    };
    struct Local {};
    BracketMaps<T> maps;
    Index rows;
    const double* sums;
    double kappa;
    const T* gate; // null: 1
    T* factors;    // [2]: of LD, of NM
    T* penalty;    // may be null

    TETHER_HD Index phases(Index) const { return 2; }
    TETHER_HD void phase(Index p, Index, int thread, Shared& shared, Local&) const {
        if (p == 0) {
            double lie = 0;
            double size = 0;
            for (Index row = thread; row < rows; row += threads) {
                const auto [map, i] = maps.at(row);
                (i < map.out ? size : lie) += sums[row];
            }
            shared.lie[thread] = lie;
            shared.size[thread] = size;
        } else if (thread == 0) {
            double lie = 0;
            double size = 0;
            for (int k = 0; k < threads; ++k) {
                lie += shared.lie[k];
                size += shared.size[k];
            }
            lie = lie > 0 ? std::sqrt(lie) : 0;
            size = size > 0 ? std::sqrt(size) : 0;
            const double weight = gate == nullptr ? kappa : kappa * static_cast<double>(*gate);
            factors[0] = static_cast<T>(lie > 0 ? weight / (2 * lie) : 0.0);
            factors[1] = static_cast<T>(size > 0 ? weight / (2 * size) : 0.0);
            if (penalty != nullptr) {
                *penalty = static_cast<T>(weight * (lie + size));
            }
        }
    }
};

// Items: weights [out x in], then biases [out].
template <class T>
struct BracketGradients {
    BracketMaps<T> maps;
    const T* factors;
    TETHER_HD void operator()(Index item) const {
        const auto [map, i] = maps.at(item);
        const Index in = map.in;
        const Index area = map.out * in;
        T lie = 0;
        if (i >= area) {
            if (map.bias == nullptr) {
                return;
            }
            const Index row = i - area;
            for (Index a = 0; map.constant && a < 3; ++a) {
                const T* slope = map.slope + (a + 1) * map.out;
                lie += slope[row] - map.out_columns[a].sum(row, [=](Index k) { return slope[k]; });
            }
            map.bias_gradient[row] += factors[0] * lie + factors[1] * map.slope[row];
            return;
        }
        const Index row = i / in;
        const Index column = i % in;
        for (Index a = 0; a < 3; ++a) {
            const T* p = map.product + (a + 1) * area;
            lie += map.in_rows[a].sum(column, [=](Index k) { return p[row * in + k]; }) -
                   map.out_columns[a].sum(row, [=](Index k) { return p[k * in + column]; });
        }
        map.weight_gradient[i] += factors[0] * (2 * lie) + factors[1] * (2 * map.product[i]);
    }
};

} // namespace tether::kernels
