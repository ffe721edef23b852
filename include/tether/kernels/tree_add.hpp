// One level of the fixed tree over ranks on a device: two neighbouring subtrees become one.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"

namespace tether::kernels {

template <class T>
struct TreeAddNumbers {
    T* mine;        // also the result
    const T* other; // of the partner
    bool lower;     // mine is the subtree of the lower leaves
    TETHER_HD void operator()(Index i) const { mine[i] = lower ? mine[i] + other[i] : other[i] + mine[i]; }
};

} // namespace tether::kernels
