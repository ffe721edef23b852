// What an operation sees while it runs: pointers to its operands and to the batch part. Row r of
// operand i starts at in(i) + r * columns. Parameters, their gradients and buffers are operands too.
#pragma once

#include "tether/core/types.hpp"
#include "tether/program/batch.hpp"

#include <functional>
#include <span>
#include <vector>

namespace tether {

// A weight matrix inside the flat parameter vector, seen as [k x n]; packed once per step.
struct WeightView {
    Index offset = 0; // of its first element in the flat parameter vector
    Index k_stride = 0, n_stride = 0;
    Index k = 0, n = 0;
    friend bool operator==(const WeightView&, const WeightView&) = default;
    friend auto operator<=>(const WeightView&, const WeightView&) = default;
};

// Sums over all lanes of the global batch in the middle of a program (batch statistics): in place,
// the caller adds threads and ranks by the fixed tree.
using Exchange = std::function<void(std::span<double>)>;

// Calls task(part) for every part in [0, parts), on all threads of the rank: for nodes after the reduction,
// which would run on one. The parts must not depend on each other.
using Parallel = std::function<void(int parts, const std::function<void(int)>& task)>;

template <class T>
struct Run {
    struct Operand {
        T* data = nullptr;
        Index rows = 0;
        Index columns = 0;
        Extent extent;
    };

    const BatchPart<T>* batch = nullptr;
    // A tile: the rows [first, first + rows of the tiled operands) of the part, all of one lane, with all
    // times of whatever they stand for. Tiles come in ascending order; an empty lane has one empty tile.
    struct Tile {
        Index first = 0;
        Index lane = 0, lanes = 1;
        bool begins = true, ends = true; // the lane
    };
    Tile tile;
    bool sums_tiles = false;           // an operation that sums over the rows it is given a tile at a time
    std::vector<T>* partial = nullptr; // its memory between tiles
    std::span<const Operand> inputs, outputs;
    const T* packed = nullptr;            // all packed weights of the program
    std::span<const Index> packed_offset; // of each of Program::packed in them
    const Exchange* exchange = nullptr;   // null or empty: this part is the whole batch
    const Parallel* parallel = nullptr;   // null or empty: one part after the other
    std::vector<T>* scratch = nullptr;    // grows to what the largest operation needs, then stays
    std::vector<double>* sums = nullptr;  // the same in double, for statistics
    bool commits_state = true;            // only one of several executions of a step keeps new state

    [[nodiscard]] const T* in(int i) const { return inputs[static_cast<std::size_t>(i)].data; }
    [[nodiscard]] T* out(int i) const { return outputs[static_cast<std::size_t>(i)].data; }
    [[nodiscard]] bool has_out(int i) const {
        return static_cast<std::size_t>(i) < outputs.size() &&
               outputs[static_cast<std::size_t>(i)].data != nullptr;
    }
    [[nodiscard]] Index in_columns(int i) const { return inputs[static_cast<std::size_t>(i)].columns; }
    [[nodiscard]] Index out_columns(int i) const { return outputs[static_cast<std::size_t>(i)].columns; }
    [[nodiscard]] Index in_rows(int i) const { return inputs[static_cast<std::size_t>(i)].rows; }
    [[nodiscard]] Index out_rows(int i) const { return outputs[static_cast<std::size_t>(i)].rows; }

    // First row of each lane of an operand with this extent, and the end.
    void lane_rows(Extent extent, std::vector<Index>& begin) const {
        const std::vector<Index>& axis = batch->lane_begin[static_cast<std::size_t>(extent.axis)];
        begin.resize(axis.size());
        for (std::size_t l = 0; l < axis.size(); ++l) {
            begin[l] = axis[l] * extent.times;
        }
    }
    std::vector<Index>* lane_scratch = nullptr;
    [[nodiscard]] std::span<const Index> lanes(Extent extent) const {
        lane_rows(extent, *lane_scratch);
        return *lane_scratch;
    }
};

} // namespace tether
