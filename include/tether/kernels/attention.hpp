// Softmax attention among the rows of one graph (Vaswani et al., NeurIPS 2017; one key and value head
// for all query heads: Shazeer, arXiv:1911.02150). A row holds [queries | keys | values], each head by
// head. With scale a = 1/sqrt(channels), for row i and head h:
//     y_i = sum_j p_ij v_j,  p_ij = exp(a q_i·k_j - l_i),  l_i = log sum_j exp(a q_i·k_j)
// Scores are not kept: the reverse pass computes p_ij again from l_i. With D_i = dy_i·y_i,
//     ds_ij = a p_ij (dy_i·v_j - D_i),  dq_i = sum_j ds_ij k_j,  dk_j = sum_i ds_ij q_i,  dv_j = sum_i p_ij
//     dy_i
// where keys and values that several heads share sum over those heads, head by head.
#pragma once

#include "tether/kernels/chunk.hpp"
#include "tether/kernels/math.hpp"

#include <cmath>
#include <cstdint>

namespace tether::kernels {

struct AttentionShape {
    Index heads = 1;     // of queries
    Index key_heads = 1; // 1, or as many as heads
    Index channels = 1;  // of a head
    [[nodiscard]] TETHER_HD constexpr Index columns() const { return (heads + 2 * key_heads) * channels; }
    [[nodiscard]] TETHER_HD constexpr Index out_columns() const { return heads * channels; }
    [[nodiscard]] TETHER_HD constexpr Index query(Index head) const { return head * channels; }
    [[nodiscard]] TETHER_HD constexpr Index key(Index head) const {
        return (heads + (key_heads == 1 ? 0 : head)) * channels;
    }
    [[nodiscard]] TETHER_HD constexpr Index value(Index head) const {
        return key(head) + key_heads * channels;
    }
};

// One row and head: y [channels], returns l. `first`, `last`: rows of the graph; x: all rows.
template <class T>
TETHER_HD inline T attend(const AttentionShape& s, const T* x, Index first, Index last, Index row, Index head,
                          T* y) {
    const Index n = s.channels;
    const T scale = T(1) / std::sqrt(static_cast<T>(n));
    const T* q = x + row * s.columns() + s.query(head);
    for (Index c = 0; c < n; ++c) {
        y[c] = T(0);
    }
    // The largest score so far is taken off, and what is summed already scaled down when it grows.
    T largest = 0;
    T sum = 0;
    for (Index j = first; j < last; ++j) {
        const T* other = x + j * s.columns();
        const T score = scale * dot(q, other + s.key(head), n);
        if (j == first) {
            largest = score;
        } else if (score > largest) {
            const T factor = exponential(largest - score);
            largest = score;
            sum *= factor;
            for (Index c = 0; c < n; ++c) {
                y[c] *= factor;
            }
        }
        const T p = exponential(score - largest);
        sum += p;
        add_scaled(n, p, other + s.value(head), y);
    }
    const T part = T(1) / sum;
    for (Index c = 0; c < n; ++c) {
        y[c] *= part;
    }
    return largest + std::log(sum);
}

// What the reverse pass reads: rows of x, y, dy, and l [heads] of every row.
template <class T>
struct AttentionRows {
    const T *x, *y, *dy, *l;
};

// One row and head: dq [channels].
template <class T>
TETHER_HD inline void attend_backward_query(const AttentionShape& s, const AttentionRows<T>& r, Index first,
                                            Index last, Index row, Index head, T* dq) {
    const Index n = s.channels;
    const T scale = T(1) / std::sqrt(static_cast<T>(n));
    const T* q = r.x + row * s.columns() + s.query(head);
    const T* dy = r.dy + row * s.out_columns() + s.query(head);
    const T drift = dot(dy, r.y + row * s.out_columns() + s.query(head), n);
    const T l = r.l[row * s.heads + head];
    for (Index c = 0; c < n; ++c) {
        dq[c] = T(0);
    }
    for (Index j = first; j < last; ++j) {
        const T* other = r.x + j * s.columns();
        const T p = exponential(scale * dot(q, other + s.key(head), n) - l);
        add_scaled(n, scale * p * (dot(dy, other + s.value(head), n) - drift), other + s.key(head), dq);
    }
}

// One row and key head: dk and dv [channels].
template <class T>
TETHER_HD inline void attend_backward_key(const AttentionShape& s, const AttentionRows<T>& r, Index first,
                                          Index last, Index row, Index key_head, T* dk, T* dv) {
    const Index n = s.channels;
    const T scale = T(1) / std::sqrt(static_cast<T>(n));
    for (Index c = 0; c < n; ++c) {
        dk[c] = T(0);
        dv[c] = T(0);
    }
    const Index from = s.key_heads == 1 ? 0 : key_head;
    const Index to = s.key_heads == 1 ? s.heads : key_head + 1;
    const T* here = r.x + row * s.columns();
    for (Index head = from; head < to; ++head) {
        for (Index i = first; i < last; ++i) {
            const T* q = r.x + i * s.columns() + s.query(head);
            const T* dy = r.dy + i * s.out_columns() + s.query(head);
            const T drift = dot(dy, r.y + i * s.out_columns() + s.query(head), n);
            const T p = exponential(scale * dot(q, here + s.key(head), n) - r.l[i * s.heads + head]);
            add_scaled(n, p, dy, dv);
            add_scaled(n, scale * p * (dot(dy, here + s.value(head), n) - drift), q, dk);
        }
    }
}

// The graph of every row, on a device.
struct GraphRows {
    const std::int32_t *graph_of_node, *node_begin;
    [[nodiscard]] TETHER_HD Index first(Index row) const { return node_begin[graph_of_node[row]]; }
    [[nodiscard]] TETHER_HD Index last(Index row) const { return node_begin[graph_of_node[row] + 1]; }
};

// Item (row, head); in the reverse pass the key heads follow the heads.
template <class T>
struct AttendHead {
    AttentionShape shape;
    GraphRows graph;
    const T* x;
    T *y, *l; // l may be null
    TETHER_HD void operator()(Index row, Index head) const {
        const T sum = attend(shape, x, graph.first(row), graph.last(row), row, head,
                             y + row * shape.out_columns() + shape.query(head));
        if (l != nullptr) {
            l[row * shape.heads + head] = sum;
        }
    }
};
template <class T>
struct AttendBackwardHead {
    AttentionShape shape;
    GraphRows graph;
    AttentionRows<T> rows;
    T* dx;
    TETHER_HD void operator()(Index row, Index head) const {
        T* to = dx + row * shape.columns();
        if (head < shape.heads) {
            attend_backward_query(shape, rows, graph.first(row), graph.last(row), row, head,
                                  to + shape.query(head));
        } else {
            const Index key = head - shape.heads;
            attend_backward_key(shape, rows, graph.first(row), graph.last(row), row, key, to + shape.key(key),
                                to + shape.value(key));
        }
    }
};

} // namespace tether::kernels
