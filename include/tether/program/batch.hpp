// What a recorded program is run on: the rows of some consecutive lanes of one global batch.
// Invariants: lanes are contiguous row ranges on every axis; edges are sorted by receiver, so that
// the edges of a receiver are contiguous and sums over them have one fixed order; all indices are
// local to this part. Buffers keep their memory from batch to batch.
#pragma once

#include "tether/core/types.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace tether {

// What a row stands for. `one` has a single row per program run (losses, statistics).
enum class Axis : std::uint8_t { one, graph, node, edge };
inline constexpr int axis_count = 4;

// Number of rows of a value: `times` rows for every row of the axis (row r of the axis owns rows
// [r*times, (r+1)*times)); times > 1 for output times, points of a cloud, neighbours.
struct Extent {
    Axis axis = Axis::one;
    Index times = 1;
    friend bool operator==(const Extent&, const Extent&) = default;
};

struct Topology {
    std::vector<std::int32_t> sender, receiver; // [edges], ascending in receiver
    std::vector<std::int32_t> receiver_begin;   // [nodes + 1]: edges of receiver i
    std::vector<std::int32_t> by_sender;        // [edges]: edge numbers ordered by sender (stable)
    std::vector<std::int32_t> sender_begin;     // [nodes + 1]: ranges in by_sender
    std::vector<std::int32_t> graph_of_node;    // [nodes]
    std::vector<std::int32_t> node_begin;       // [graphs + 1]
};

template <class T>
struct BatchPart {
    Index lanes = 0;
    // First row of each lane on each axis, one entry more than lanes; `one` counts 1 row per lane.
    std::array<std::vector<Index>, axis_count> lane_begin;
    Topology topology;
    std::vector<Index> sample;         // [graphs]: number of the sample in its data set
    std::vector<std::vector<T>> field; // one per requested field: [rows x width], row-major

    [[nodiscard]] Index rows(Axis axis) const {
        return axis == Axis::one ? 1 : lane_begin[static_cast<std::size_t>(axis)].back();
    }
    [[nodiscard]] Index rows(Extent extent) const { return rows(extent.axis) * extent.times; }
};

} // namespace tether
