// Rows along the edges of a graph on a device: gathered at both ends, summed by segment, spread again, put
// side by side. Sums run over the rows of a segment in ascending order, one thread per number: no atomics,
// the order of the host.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"

#include <cstdint>

namespace tether::kernels {

// fr x[receiver] + fs y[sender] + z; each of the three may be absent (null), but one of the first two.
template <class T>
struct GatherNumbers {
    const T *receivers, *senders, *edges;
    const std::int32_t *receiver, *sender;
    T receiver_factor, sender_factor;
    T* out;
    Index columns;
    TETHER_HD void operator()(Index e, Index c) const {
        T sum = 0;
        if (receivers != nullptr && senders != nullptr) {
            sum = receiver_factor * receivers[receiver[e] * columns + c] +
                  sender_factor * senders[sender[e] * columns + c];
        } else {
            sum = receivers != nullptr ? receiver_factor * receivers[receiver[e] * columns + c]
                                       : sender_factor * senders[sender[e] * columns + c];
        }
        out[e * columns + c] = edges != nullptr ? sum + edges[e * columns + c] : sum;
    }
};

// Sum of value(row, c) over the rows of a segment: [begin[s], begin[s + 1]), or the rows that `order` holds
// there.
template <class T, class RowValue>
TETHER_HD inline T segment_total(const std::int32_t* begin, const std::int32_t* order, Index s,
                                 const RowValue& value) {
    T sum = 0;
    for (std::int32_t k = begin[s]; k < begin[s + 1]; ++k) {
        sum += value(order == nullptr ? k : order[k]);
    }
    return sum;
}

template <class T>
struct SegmentSumNumbers {
    const T* x;
    const std::int32_t* begin;
    const std::int32_t* order; // null: the rows of a segment are contiguous
    bool mean;
    T* out;
    Index columns;
    TETHER_HD void operator()(Index s, Index c) const {
        T sum = segment_total<T>(begin, order, s, [&](Index row) { return x[row * columns + c]; });
        if (mean && begin[s] < begin[s + 1]) {
            sum *= T(1) / static_cast<T>(begin[s + 1] - begin[s]);
        }
        out[s * columns + c] = sum;
    }
};

// Every row gets the row of its segment; for the reverse of a mean divided by the segment's size.
template <class T>
struct SpreadNumbers {
    const T* x;
    const std::int32_t* segment; // of every row
    const std::int32_t* begin;
    bool mean;
    T* out;
    Index columns;
    TETHER_HD void operator()(Index row, Index c) const {
        const std::int32_t s = segment[row];
        T value = x[s * columns + c];
        if (mean) {
            const std::int32_t size = begin[s + 1] - begin[s];
            value *= T(1) / static_cast<T>(size > 1 ? size : 1);
        }
        out[row * columns + c] = value;
    }
};

// Column c of a graph's row belongs to its node c / columns; 0 where the graph has fewer.
template <class T>
struct SideBySideNumbers {
    const T* x;
    const std::int32_t* node_begin;
    T* out;
    Index columns, out_columns;
    TETHER_HD void operator()(Index graph, Index c) const {
        const Index node = node_begin[graph] + c / columns;
        out[graph * out_columns + c] = node < node_begin[graph + 1] ? x[node * columns + c % columns] : T(0);
    }
};

template <class T>
struct SplitToNodesNumbers {
    const T* x;
    const std::int32_t *graph_of_node, *node_begin;
    T* out;
    Index in_columns, columns;
    TETHER_HD void operator()(Index node, Index c) const {
        const std::int32_t graph = graph_of_node[node];
        out[node * columns + c] = x[graph * in_columns + (node - node_begin[graph]) * columns + c];
    }
};

} // namespace tether::kernels
