// How a functor on a device finds its way in the batch at hand. Launches are made for a capacity of rows; how
// many there are is read from device memory, so that another batch needs no other launch.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"

#include <cstdint>

namespace tether::kernels {

// Rows of a value: `times` for every row of its axis; without an axis `times`.
struct RowCount {
    const Index* axis_rows = nullptr;
    Index times = 1;
    TETHER_HD Index operator()() const { return axis_rows == nullptr ? times : *axis_rows * times; }
};

// First row of each lane of a value, and the end.
struct LaneRows {
    const Index* begin = nullptr; // [lanes + 1] of the axis
    Index lanes = 0;
    Index times = 1;
    TETHER_HD Index first(Index lane) const { return begin[lane] * times; }
    TETHER_HD Index last(Index lane) const { return begin[lane + 1] * times; }
};

// program/batch.hpp's Topology in device memory.
struct TopologyView {
    const std::int32_t* sender = nullptr;
    const std::int32_t* receiver = nullptr;
    const std::int32_t* receiver_begin = nullptr;
    const std::int32_t* by_sender = nullptr;
    const std::int32_t* sender_begin = nullptr;
    const std::int32_t* graph_of_node = nullptr;
    const std::int32_t* node_begin = nullptr;
};

// g(i) for every number of a value of `columns`, g(row, column) for the same, g(row) for every row.
template <class G>
struct PerFlat {
    RowCount rows;
    Index columns;
    G g;
    TETHER_HD void operator()(Index i) const {
        if (i < rows() * columns) {
            g(i);
        }
    }
};
template <class G>
struct PerNumber {
    RowCount rows;
    std::uint32_t columns;
    G g;
    TETHER_HD void operator()(Index i) const {
        const auto at = static_cast<std::uint32_t>(i); // a 64-bit division costs twenty times as much
        const std::uint32_t row = at / columns;
        if (row < rows()) {
            g(static_cast<Index>(row), static_cast<Index>(at - row * columns));
        }
    }
};
template <class G>
struct PerRow {
    RowCount rows;
    G g;
    TETHER_HD void operator()(Index i) const {
        if (i < rows()) {
            g(i);
        }
    }
};

} // namespace tether::kernels
