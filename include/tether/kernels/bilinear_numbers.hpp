// The sparse bilinear map of kernels/bilinear.hpp on a device: one thread per number, its terms in the order
// of the host. Neighbouring threads make neighbouring columns of one block, so that they read the same terms
// and neighbouring features.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"
#include "tether/kernels/graph.hpp"

#include <cstdint>

namespace tether::kernels {

// coefficient · a[attribute] · x[column]; column counted from the output's own column.
template <class T>
struct BilinearNumberTerm {
    std::int32_t column, attribute;
    T coefficient;
};

// Terms [begin[block], begin[block + 1]) of output column c, block = block_of[c].
template <class T>
struct BilinearNumberTable {
    const std::int32_t* block_of;
    const std::int32_t* begin;
    const BilinearNumberTerm<T>* terms;

    template <class Feature>
    TETHER_HD T add(T sum, const T* a, Index c, const Feature& x) const {
        const std::int32_t block = block_of[c];
        for (std::int32_t k = begin[block]; k < begin[block + 1]; ++k) {
            sum += terms[k].coefficient * a[terms[k].attribute] * x(c + terms[k].column);
        }
        return sum;
    }
};

// Features of row r as they lie, or summed over what belongs to the ends of edge r and to the edge, which may
// have the first columns alone.
template <class T>
struct PlainFeatures {
    const T* x;
    Index columns;
    TETHER_HD T operator()(Index row, Index c) const { return x[row * columns + c]; }
};
template <class T>
struct GatheredFeatures {
    const T *at_receiver, *at_sender, *on_edge;
    const std::int32_t *receiver, *sender;
    Index columns, edge_columns;
    TETHER_HD T operator()(Index row, Index c) const {
        const T sum = at_receiver[receiver[row] * columns + c] + at_sender[sender[row] * columns + c];
        return c < edge_columns ? sum + on_edge[row * edge_columns + c] : sum;
    }
};

template <class T, class Features>
struct BilinearNumbers {
    Features x;
    const T* a;
    Index a_columns;
    BilinearNumberTable<T> table;
    const T* add;  // [rows x out_columns] or null
    const T* bias; // [bias_columns] or null
    Index bias_columns;
    T* out;
    Index out_columns;
    TETHER_HD void operator()(Index row, Index c) const {
        T sum = add != nullptr ? add[row * out_columns + c] : T(0);
        sum += c < bias_columns ? bias[c] : T(0);
        out[row * out_columns + c] =
            table.add(sum, a + row * a_columns, c, [&](Index column) { return x(row, column); });
    }
};

// Reverse of the gathered form for the rows at both ends: the map's reverse of every edge, summed over the
// edges of a node as receiver (columns [0, columns)) and as sender (the same again).
template <class T>
struct GatheredBackwardNumbers {
    const T* dy;
    Index dy_columns;
    const T* a;
    Index a_columns;
    BilinearNumberTable<T> table;
    const std::int32_t *receiver_begin, *by_sender, *sender_begin;
    T *at_receiver, *at_sender;
    Index columns;
    bool receivers; // false: senders alone
    TETHER_HD void operator()(Index node, Index column) const {
        const bool receiver = receivers && column < columns;
        const Index c = column < columns ? column : column - columns;
        const T sum = segment_total<T>(
            receiver ? receiver_begin : sender_begin, receiver ? nullptr : by_sender, node, [&](Index edge) {
                return table.add(T(0), a + edge * a_columns, c,
                                 [&](Index from) { return dy[edge * dy_columns + from]; });
            });
        (receiver ? at_receiver : at_sender)[node * columns + c] = sum;
    }
};

// Gradient of one attribute of a row: terms [begin[attribute], begin[attribute + 1]) of
// coefficient · <x block, dy block>.
template <class T>
struct AttributeTerm {
    std::int32_t x_column, dy_column, length;
    T coefficient;
};
template <class T>
struct AttributeGradientNumbers {
    const T* x;
    Index x_columns;
    const T* dy;
    Index dy_columns;
    const std::int32_t* begin;
    const AttributeTerm<T>* terms;
    T* out;
    Index columns;
    TETHER_HD void operator()(Index row, Index attribute) const {
        const T* from = x + row * x_columns;
        const T* by = dy + row * dy_columns;
        T sum = 0;
        for (std::int32_t k = begin[attribute]; k < begin[attribute + 1]; ++k) {
            const AttributeTerm<T>& t = terms[k];
            T part = 0;
            for (std::int32_t u = 0; u < t.length; ++u) {
                part += from[t.x_column + u] * by[t.dy_column + u];
            }
            sum += t.coefficient * part;
        }
        out[row * columns + attribute] = sum;
    }
};

} // namespace tether::kernels
