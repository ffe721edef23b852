// Several ranges side by side in one launch: which one an item belongs to.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"

namespace tether::kernels {

// The last of `count` parts that begins at or before i; begin(part), ascending.
template <class Begin>
TETHER_HD inline Index part_at(Index count, Index i, const Begin& begin) {
    Index part = 0;
    for (Index end = count; end - part > 1;) {
        const Index middle = (part + end) / 2;
        (begin(middle) <= i ? part : end) = middle;
    }
    return part;
}

} // namespace tether::kernels
