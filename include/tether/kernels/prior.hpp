// Gaussian priors on weights on a device: sum of kappa w² over several parameters, and its gradient.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"
#include "tether/kernels/parts.hpp"

namespace tether::kernels {

// One parameter; its numbers are [first, next one's first) of all numbers side by side.
template <class T>
struct PriorPart {
    Index first;
    const T* weight;
    T* gradient;
    double kappa;
};

template <class T>
TETHER_HD inline const PriorPart<T>& part_of(const PriorPart<T>* parts, Index count, Index i) {
    return parts[part_at(count, i, [&](Index p) { return parts[p].first; })];
}

template <class T>
struct PriorGradientNumbers {
    const PriorPart<T>* parts;
    Index count;
    TETHER_HD void operator()(Index i) const {
        const PriorPart<T>& part = part_of(parts, count, i);
        const Index k = i - part.first;
        part.gradient[k] += static_cast<T>(2 * part.kappa) * part.weight[k];
    }
};
template <class T>
struct PriorLeaf {
    const PriorPart<T>* parts;
    Index count;
    TETHER_HD double operator()(Index i, Index) const {
        const PriorPart<T>& part = part_of(parts, count, i);
        const auto w = static_cast<double>(part.weight[i - part.first]);
        return part.kappa * w * w;
    }
};
// A total in double, given in T.
template <class T>
struct PutRounded {
    T* out;
    TETHER_HD void operator()(Index c, double total) const { out[c] = static_cast<T>(total); }
};

} // namespace tether::kernels
