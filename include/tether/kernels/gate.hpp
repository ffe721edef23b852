// Rows of the gate: scalars through SiLU, every gated copy times the sigmoid of its own gate,
// both times the published second-moment constants (spec: models, section 1).
// Row before: [scalars | gates | gated]; after: [scalars | gated]; gated terms component-major.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"
#include "tether/kernels/activation.hpp"

#include <cstdint>

namespace tether::kernels {

struct GatedTerm {
    Index gate;       // first gate, counted from the first gate of the row
    Index column;     // first column, counted from the first gated column
    Index components; // 2l+1
    Index copies;     // multiplicity
};

struct GateShape {
    Index scalars, gates, gated; // columns
    double scalar_constant, gate_constant;
};

// Columns of `sigmas` per row.
template <class T>
TETHER_HD inline Index gate_sigmas(const GateShape& shape) {
    const Index width = chunk_width<T>;
    return (shape.scalars + shape.gates + width - 1) / width * width;
}

// Sigmoids of the scalars and gates of some rows, one long loop: sigma[row * gate_sigmas + u].
template <class T>
TETHER_HD inline void gate_sigmoids(const GateShape& shape, Index rows, const T* x, T* sigma) {
    const Index columns = shape.scalars + shape.gates + shape.gated;
    const Index used = shape.scalars + shape.gates;
    const Index stride = gate_sigmas<T>(shape);
#if defined(TETHER_CHUNK_VECTORS)
    constexpr Index width = chunk_width<T>;
    for (Index r = 0; r < rows; ++r) {
        Index u = 0;
        for (; u + width <= used; u += width) {
            store_chunk(sigma + r * stride + u, sigmoid(load_chunk(x + r * columns + u)));
        }
        if (u < used) {
            T padded[width] = {};
            for (Index k = 0; u + k < used; ++k) {
                padded[k] = x[r * columns + u + k];
            }
            store_chunk(sigma + r * stride + u, sigmoid(load_chunk(padded)));
        }
    }
#else
    for (Index r = 0; r < rows; ++r) {
        for (Index u = 0; u < used; ++u) {
            sigma[r * stride + u] = sigmoid(x[r * columns + u]);
        }
    }
#endif
}

// Gated numbers u of a term with their gates' sigmoids: F is T or a chunk of T. Pointers: first gated number
// of the term.
template <class F, class T>
TETHER_HD inline void gate_copies(T constant, const GatedTerm& term, Index u, const F& sigma, const T* from,
                                  T* to) {
    const F factor = constant * sigma;
    for (Index m = 0; m < term.components; ++m) {
        store_as<F>(to + m * term.copies + u, factor * load_as<F>(from + m * term.copies + u));
    }
}

// Their gradients, and that of the gates (returned).
template <class F, class T>
TETHER_HD inline F gate_copies_backward(T constant, const GatedTerm& term, Index u, const F& sigma,
                                        const T* from, const T* dto, T* dfrom) {
    const F factor = constant * sigma;
    F sum{};
    for (Index m = 0; m < term.components; ++m) {
        const F d = load_as<F>(dto + m * term.copies + u);
        sum += load_as<F>(from + m * term.copies + u) * d;
        store_as<F>(dfrom + m * term.copies + u, factor * d);
    }
    return factor * (T(1) - sigma) * sum;
}

template <class F, class T>
TETHER_HD inline F gate_scalar_slope(T constant, const F& x, const F& sigma, const F& dy) {
    return constant * dy * (sigma * (T(1) + x * (T(1) - sigma)));
}

// One row; `sigma` of the row.
template <class T>
TETHER_HD inline void gate_row(const GateShape& shape, const GatedTerm* terms, Index term_count, const T* x,
                               const T* sigma, T* y) {
    const T cs = static_cast<T>(shape.scalar_constant);
    const T cg = static_cast<T>(shape.gate_constant);
    in_chunks<T>(shape.scalars, [&](Index u, auto zero) {
        using F = decltype(zero);
        store_as<F>(y + u, cs * (load_as<F>(x + u) * load_as<F>(sigma + u)));
    });
    for (Index t = 0; t < term_count; ++t) {
        const GatedTerm& term = terms[t];
        const T* gates = sigma + shape.scalars + term.gate;
        const T* from = x + shape.scalars + shape.gates + term.column;
        T* to = y + shape.scalars + term.column;
        in_chunks<T>(term.copies, [&](Index u, auto zero) {
            using F = decltype(zero);
            gate_copies<F>(cg, term, u, load_as<F>(gates + u), from, to);
        });
    }
}

template <class T>
TETHER_HD inline void gate_row_backward(const GateShape& shape, const GatedTerm* terms, Index term_count,
                                        const T* x, const T* sigma, const T* dy, T* dx) {
    const T cs = static_cast<T>(shape.scalar_constant);
    const T cg = static_cast<T>(shape.gate_constant);
    in_chunks<T>(shape.scalars, [&](Index u, auto zero) {
        using F = decltype(zero);
        store_as<F>(dx + u,
                    gate_scalar_slope<F>(cs, load_as<F>(x + u), load_as<F>(sigma + u), load_as<F>(dy + u)));
    });
    for (Index t = 0; t < term_count; ++t) {
        const GatedTerm& term = terms[t];
        const T* gates = sigma + shape.scalars + term.gate;
        const T* from = x + shape.scalars + shape.gates + term.column;
        const T* dto = dy + shape.scalars + term.column;
        T* dgates = dx + shape.scalars + term.gate;
        T* dfrom = dx + shape.scalars + shape.gates + term.column;
        in_chunks<T>(term.copies, [&](Index u, auto zero) {
            using F = decltype(zero);
            store_as<F>(dgates + u,
                        gate_copies_backward<F>(cg, term, u, load_as<F>(gates + u), from, dto, dfrom));
        });
    }
}

// On a device: item (row, u) is scalar u, or one gate with all that it gates. `term_of_gate`: number of the
// term of every gate, -1 where it gates nothing (its gradient is 0).
template <class T>
struct GateNumbers {
    GateShape shape;
    const GatedTerm* terms;
    const std::int32_t* term_of_gate;
    const T* x;
    T* y;
    TETHER_HD void operator()(Index row, Index u) const {
        const T* from = x + row * (shape.scalars + shape.gates + shape.gated);
        T* to = y + row * (shape.scalars + shape.gated);
        const T sigma = sigmoid(from[u]);
        if (u < shape.scalars) {
            to[u] = static_cast<T>(shape.scalar_constant) * (from[u] * sigma);
            return;
        }
        const Index gate = u - shape.scalars;
        if (term_of_gate[gate] >= 0) {
            const GatedTerm& term = terms[term_of_gate[gate]];
            gate_copies<T>(static_cast<T>(shape.gate_constant), term, gate - term.gate, sigma,
                           from + shape.scalars + shape.gates + term.column,
                           to + shape.scalars + term.column);
        }
    }
};
template <class T>
struct GateBackwardNumbers {
    GateShape shape;
    const GatedTerm* terms;
    const std::int32_t* term_of_gate;
    const T *x, *dy;
    T* dx;
    TETHER_HD void operator()(Index row, Index u) const {
        const Index before = shape.scalars + shape.gates + shape.gated;
        const T* from = x + row * before;
        const T* by = dy + row * (shape.scalars + shape.gated);
        T* to = dx + row * before;
        const T sigma = sigmoid(from[u]);
        if (u < shape.scalars) {
            to[u] = gate_scalar_slope<T>(static_cast<T>(shape.scalar_constant), from[u], sigma, by[u]);
            return;
        }
        const Index gate = u - shape.scalars;
        T slope = 0;
        if (term_of_gate[gate] >= 0) {
            const GatedTerm& term = terms[term_of_gate[gate]];
            slope = gate_copies_backward<T>(static_cast<T>(shape.gate_constant), term, gate - term.gate,
                                            sigma, from + shape.scalars + shape.gates + term.column,
                                            by + shape.scalars + term.column,
                                            to + shape.scalars + shape.gates + term.column);
        }
        to[u] = slope;
    }
};

} // namespace tether::kernels
