// One row of the gate: scalars through SiLU, every gated copy times the sigmoid of its own gate,
// both times the published second-moment constants (spec: models, section 1).
// Row before: [scalars | gates | gated]; after: [scalars | gated]; gated terms component-major.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"
#include "tether/kernels/activation.hpp"

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

template <class T>
TETHER_HD inline void gate_row(const GateShape& shape, const GatedTerm* terms, Index term_count,
                               const T* __restrict__ x, T* __restrict__ y) {
    const T cs = static_cast<T>(shape.scalar_constant);
    const T cg = static_cast<T>(shape.gate_constant);
    for (Index i = 0; i < shape.scalars; ++i) {
        y[i] = cs * (x[i] * sigmoid(x[i]));
    }
    for (Index t = 0; t < term_count; ++t) {
        const GatedTerm& term = terms[t];
        const T* gates = x + shape.scalars + term.gate;
        const T* from = x + shape.scalars + shape.gates + term.column;
        T* to = y + shape.scalars + term.column;
        for (Index u = 0; u < term.copies; ++u) {
            to[u] = cg * sigmoid(gates[u]);
        }
        // The first component holds the factors until the others are done.
        for (Index m = term.components - 1; m >= 0; --m) {
            for (Index u = 0; u < term.copies; ++u) {
                to[m * term.copies + u] = to[u] * from[m * term.copies + u];
            }
        }
    }
}

template <class T>
TETHER_HD inline void gate_row_backward(const GateShape& shape, const GatedTerm* terms, Index term_count,
                                        const T* __restrict__ x, const T* __restrict__ dy, T* __restrict__ dx) {
    const T cs = static_cast<T>(shape.scalar_constant);
    const T cg = static_cast<T>(shape.gate_constant);
    for (Index i = 0; i < shape.scalars; ++i) {
        const T s = sigmoid(x[i]);
        dx[i] = cs * dy[i] * (s * (T(1) + x[i] * (T(1) - s)));
    }
    for (Index t = 0; t < term_count; ++t) {
        const GatedTerm& term = terms[t];
        const T* gates = x + shape.scalars + term.gate;
        const T* from = x + shape.scalars + shape.gates + term.column;
        const T* dto = dy + shape.scalars + term.column;
        T* dgates = dx + shape.scalars + term.gate;
        T* dfrom = dx + shape.scalars + shape.gates + term.column;
        for (Index u = 0; u < term.copies; ++u) {
            dgates[u] = from[u] * dto[u];
        }
        for (Index m = 1; m < term.components; ++m) {
            for (Index u = 0; u < term.copies; ++u) {
                dgates[u] += from[m * term.copies + u] * dto[m * term.copies + u];
            }
        }
        // The first component holds the factors until the others are done.
        for (Index u = 0; u < term.copies; ++u) {
            const T s = sigmoid(gates[u]);
            dgates[u] = cg * s * (T(1) - s) * dgates[u];
            dfrom[u] = cg * s;
        }
        for (Index m = term.components - 1; m >= 0; --m) {
            for (Index u = 0; u < term.copies; ++u) {
                dfrom[m * term.copies + u] = dfrom[u] * dto[m * term.copies + u];
            }
        }
    }
}

} // namespace tether::kernels
