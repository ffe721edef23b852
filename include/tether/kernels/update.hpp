// The update of the flat parameter vector on a device: what a method adds to the gradients of gates and
// slacks, the norm and its clipping factor, one step of the optimiser, and what is handed back to the host.
// Scalars of the step come from a control block in device memory, so that a replay needs no change.
#pragma once

#include "tether/kernels/adam.hpp"
#include "tether/kernels/batch_rows.hpp"
#include "tether/kernels/parts.hpp"
#include "tether/kernels/sgd.hpp"

#include <cmath>

namespace tether::kernels {

// gradient[at[s]] += (or =) term[s]
template <class T>
struct AddTerms {
    const Index* at;
    const double* term;
    bool replaces;
    T* gradient;
    TETHER_HD void operator()(Index s) const {
        T& g = gradient[at[s]];
        g = replaces ? static_cast<T>(term[s]) : g + static_cast<T>(term[s]);
    }
};

// Leaf of the squared norm (lane_sums.hpp).
template <class T>
struct SquareLeaf {
    const T* x;
    TETHER_HD double operator()(Index i, Index) const {
        const auto value = static_cast<double>(x[i]);
        return value * value;
    }
};

struct PutNorm {
    double* norm;
    TETHER_HD void operator()(Index, double total) const { *norm = std::sqrt(total); }
};

// A range of the vector whose elements share their numbers.
template <class T>
struct UpdateSegment {
    Index begin = 0, end = 0;
    Adam<T> adam;
    Sgd<T> sgd;
};

template <class T>
struct UpdateElements {
    const UpdateSegment<T>* segments;
    const Index* segment_count;
    const double* norm;
    double clip_norm; // 0: no clipping
    bool adam;
    T* parameter;
    const T* gradient;
    T* first;  // adam; sgd with momentum; else null
    T* second; // adam

    TETHER_HD void operator()(Index i) const {
        const Index s = part_at(*segment_count, i, [&](Index p) { return segments[p].begin; });
        if (*segment_count == 0 || i < segments[s].begin || i >= segments[s].end) {
            return;
        }
        // As torch.nn.utils.clip_grad_norm_; a norm that is not a number clips nothing.
        const double wanted = clip_norm / (*norm + 1e-6);
        const T scale = clip_norm > 0 && wanted < 1 ? static_cast<T>(wanted) : T(1);
        if (adam) {
            Adam<T> step = segments[s].adam;
            step.gradient_scale = scale;
            step(parameter[i], gradient[i], first[i], second[i]);
        } else {
            Sgd<T> step = segments[s].sgd;
            step.gradient_scale = scale;
            if (first != nullptr) {
                step(parameter[i], gradient[i], first[i]);
            } else {
                step(parameter[i], gradient[i]);
            }
        }
    }
};

// to[i] = from[at[i]] in double: what the host reads after a step.
template <class T>
struct StoreNumbers {
    const T* from;
    const Index* at; // null: i itself
    double* to;
    TETHER_HD void operator()(Index i) const { to[i] = static_cast<double>(from[at == nullptr ? i : at[i]]); }
};

} // namespace tether::kernels
