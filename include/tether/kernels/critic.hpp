// The critics of `recm` on a device (methods/modulation.hpp has the rule): which rows were drawn, z and its
// turned copy, the critic of both, its gradient, and what the sums make of the gate. There are few drawn
// rows, so that everything behind their choice works on a short list of them.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"
#include "tether/kernels/activation.hpp"
#include "tether/kernels/batch_rows.hpp"
#include "tether/kernels/modulation.hpp"

#include <cstdint>

namespace tether::kernels {

// The numbers of the rows with a weight, ascending, and where those of each lane begin, by one block: every
// thread looks at one stretch of the rows.
template <class T>
struct ChosenRows {
    static constexpr int threads = 256;
    struct Shared {
        Index count[threads];
    };
    struct Local {};
    LaneRows rows;
    const T* weight;
    Index most;                  // there is room for
    Index *list, *begin, *total; // [most], [lanes + 1], [1]

    TETHER_HD Index phases(Index) const { return 3; }
    TETHER_HD void phase(Index p, Index, int thread, Shared& shared, Local&) const {
        const Index all = rows.last(rows.lanes - 1);
        const Index first = all * thread / threads;
        const Index last = all * (thread + 1) / threads;
        if (p == 0) {
            shared.count[thread] = 0;
            for (Index row = first; row < last; ++row) {
                shared.count[thread] += weight[row] != 0 ? 1 : 0;
            }
        } else if (p == 1) {
            Index at = 0;
            for (int t = 0; t < thread; ++t) {
                at += shared.count[t];
            }
            for (Index row = first; row < last; ++row) {
                if (weight[row] != 0 && at < most) {
                    list[at++] = row;
                }
            }
        } else {
            Index chosen = 0;
            for (int t = 0; t < threads; ++t) {
                chosen += shared.count[t];
            }
            chosen = chosen < most ? chosen : most;
            for (Index lane = thread; lane <= rows.lanes; lane += threads) {
                Index before = 0;
                while (before < chosen && (lane == rows.lanes || list[before] < rows.first(lane))) {
                    ++before;
                }
                begin[lane] = before;
            }
            if (thread == 0) {
                *total = chosen;
            }
        }
    }
};

// Where column k of z comes from, and the irrep it belongs to.
template <class T>
struct CriticColumn {
    const T* x; // its number in row 0
    Index stride;
    bool of_graph; // rows are graphs
    bool of_target;
    std::int32_t first, component_stride, components, component; // of z: of its copy
    const T* turn;                                               // [graphs x components²]; null for scalars
};

// z before the division by its running RMS: value(row, column).
template <class T>
struct CriticRows {
    const CriticColumn<T>* columns;
    Index count;                          // of z
    const std::int32_t *graph, *receiver; // of a node; of an edge, null for nodes; both null for graphs
    Index times;
    [[nodiscard]] TETHER_HD Index graph_of(Index row) const {
        const Index item = row / times;
        return graph == nullptr ? item : graph[receiver == nullptr ? item : receiver[item]];
    }
    [[nodiscard]] TETHER_HD T operator()(Index row, Index k) const {
        const CriticColumn<T>& c = columns[k];
        return c.x[(c.of_graph ? graph_of(row) : row) * c.stride];
    }
};

// Weighted squares of x (column 0) and of the target (column 1) of a chosen row.
template <class T>
struct CriticSquareLeaf {
    CriticRows<T> rows;
    const Index* list;
    const T* weight;
    TETHER_HD double operator()(Index chosen, Index which) const {
        const Index row = list[chosen];
        double sum = 0;
        for (Index k = 0; k < rows.count; ++k) {
            if (rows.columns[k].of_target == (which == 1)) {
                const auto value = static_cast<double>(rows(row, k));
                sum += value * value;
            }
        }
        return static_cast<double>(weight[row]) * sum;
    }
};

// Running squares and scales, of x and of the target. One item each.
template <class T>
struct CriticScale {
    const double* squares; // sums over the batch
    double columns[2];
    const T* running;     // two squares, and whether there are any
    T *scale, *scale_out; // [2]; the second may be null
    T* next_running;      // may be null
    TETHER_HD void operator()(Index k) const {
        const double square =
            running_square(static_cast<double>(running[k]), squares[k] / columns[k], running[2] == 0);
        scale[k] = static_cast<T>(square > 0 ? 1 / std::sqrt(square) : 0.0);
        if (scale_out != nullptr) {
            scale_out[k] = scale[k];
        }
        if (next_running != nullptr) {
            next_running[k] = static_cast<T>(square);
        }
    }
};

// z [chosen x 2 x count]: normalised, then its turned copy.
template <class T>
struct CriticInput {
    CriticRows<T> rows;
    const Index* list;
    const T* scale;
    T* z;
    TETHER_HD void operator()(Index chosen, Index k) const {
        const Index row = list[chosen];
        const CriticColumn<T>& c = rows.columns[k];
        const T by = scale[c.of_target ? 1 : 0];
        T* to = z + chosen * 2 * rows.count + k;
        const T value = rows(row, k) * by;
        T turned = value;
        if (c.turn != nullptr) {
            const T* d = c.turn + (rows.graph_of(row) * c.components + c.component) * c.components;
            turned = 0;
            for (std::int32_t j = 0; j < c.components; ++j) {
                turned += d[j] * (rows(row, c.first + j * c.component_stride) * by);
            }
        }
        to[0] = value;
        to[rows.count] = turned;
    }
};

// Hidden number `h` of the critic before its activation.
template <class T>
TETHER_HD inline T critic_hidden(const CriticShape& shape, const T* v, const T* z, Index h) {
    T sum = v[shape.bias() + h];
    for (Index i = 0; i < shape.in; ++i) {
        sum += v[i * modulation_hidden + h] * z[i];
    }
    return sum;
}

// to [chosen x 8] = weight (v(z) - v(g z)). One block per chosen row, one thread per hidden number.
template <class T>
struct CriticDifference {
    static constexpr int threads = static_cast<int>(modulation_hidden);
    struct Shared {
        T value[2][modulation_hidden];
    };
    struct Local {};
    CriticShape shape;
    RowCount chosen;
    const Index* list;
    const T *weight, *v, *z;
    double* to;

    TETHER_HD Index phases(Index block) const { return block < chosen() ? 2 : 0; }
    TETHER_HD void phase(Index p, Index block, int thread, Shared& shared, Local&) const {
        if (p == 0) {
            for (int copy = 0; copy < 2; ++copy) {
                shared.value[copy][thread] =
                    activate<Activation::gelu>(
                        critic_hidden(shape, v, z + (block * 2 + copy) * shape.in, thread))
                        .value;
            }
        } else if (thread < modulation_size) {
            const T* second = v + shape.second() + thread * modulation_hidden;
            const T factor = weight[list[block]];
            double total = 0;
            for (int copy = 0; copy < 2; ++copy) {
                T sum = 0;
                for (Index k = 0; k < modulation_hidden; ++k) {
                    sum += second[k] * shared.value[copy][k];
                }
                total += static_cast<double>((copy == 0 ? factor : -factor) * sum);
            }
            to[block * modulation_size + thread] = total;
        }
    }
};

// The gate from the sums of delta over the batch.
template <class T>
struct CriticGateEnd {
    const double* delta; // [8]
    const T *h, *a;
    T *gamma, *q;                              // may be null
    T *next_h, *next_running_flag, *next_gate; // may be null, all or none
    TETHER_HD void operator()(Index) const {
        double state[modulation_size];
        for (int k = 0; k < modulation_size; ++k) {
            state[k] = static_cast<double>(h[k]);
        }
        const double length = advance_modulation(static_cast<double>(*a), delta, state);
        if (gamma != nullptr) {
            *gamma = static_cast<T>(length);
        }
        if (next_h != nullptr) {
            for (int k = 0; k < modulation_size; ++k) {
                next_h[k] = static_cast<T>(state[k]);
            }
            *next_running_flag = T(1);
            *next_gate = static_cast<T>(length);
        }
        if (q != nullptr) {
            modulation_direction(state);
            for (int k = 0; k < modulation_size; ++k) {
                q[k] = static_cast<T>(state[k]);
            }
        }
    }
};

// Per chosen row and copy: factor · slope · outer of the hidden numbers, and factor · value; factor is the
// row's weight, with the other sign for the turned copy. Item (chosen row, copy · 64 + hidden number).
template <class T>
struct CriticSlopes {
    CriticShape shape;
    const Index* list;
    const T *weight, *v, *z, *q;
    T *slope, *value; // [chosen x 2 x 64]
    TETHER_HD void operator()(Index chosen, Index i) const {
        const Index copy = i / modulation_hidden;
        const Index h = i % modulation_hidden;
        T outer = 0;
        for (Index j = 0; j < modulation_size; ++j) {
            outer += q[j] * v[shape.second() + j * modulation_hidden + h];
        }
        const T factor = copy == 0 ? weight[list[chosen]] : -weight[list[chosen]];
        const auto hidden =
            activate<Activation::gelu>(critic_hidden(shape, v, z + (chosen * 2 + copy) * shape.in, h));
        const Index at = chosen * 2 * modulation_hidden + i;
        slope[at] = hidden.slope * (factor * outer);
        value[at] = factor * hidden.value;
    }
};

// What a chosen row adds to the gradients behind the first weight: biases, then the second weight.
template <class T>
struct CriticGradientLeaf {
    const T *slope, *value, *q;
    TETHER_HD T operator()(Index chosen, Index c) const {
        const Index h = c % modulation_hidden;
        const Index at = chosen * 2 * modulation_hidden + h;
        if (c < modulation_hidden) {
            return slope[at] + slope[at + modulation_hidden];
        }
        return q[c / modulation_hidden - 1] * (value[at] + value[at + modulation_hidden]);
    }
};

} // namespace tether::kernels
