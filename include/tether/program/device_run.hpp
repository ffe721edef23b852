// What an operation sees while it is recorded for a device: its operands in device memory, the batch, and the
// list that its launches are appended to. Recorded once per capacity of rows and replayed every step, so
// launches hold pointers to what changes (rows, fields, controls), never its values.
#pragma once

#include "tether/core/error.hpp"
#include "tether/core/types.hpp"
#include "tether/device/backend.hpp"
#include "tether/kernels/batch_rows.hpp"
#include "tether/kernels/lane_sums.hpp"
#include "tether/kernels/product.hpp"
#include "tether/kernels/row_program.hpp"
#include "tether/program/batch.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <vector>

namespace tether {

// The batch in device memory, at fixed places.
template <class T>
struct DeviceBatch {
    Index lanes = 0;
    std::array<Index, axis_count> capacity{};          // rows per axis
    std::array<const Index*, axis_count> lane_begin{}; // [lanes + 1] each
    kernels::TopologyView topology;
    std::vector<const T*> field;
};

// Device memory that lives with a list: tables of constants, and scratch that stages share (the next one may
// overwrite what this one left).
class DeviceMemory {
public:
    // dry: gives null for everything, to see what launches a recording has; they must not be run.
    explicit DeviceMemory(device::Backend& backend, bool dry = false)
        : backend_(backend), dry_(dry), scratch_(backend), kept_(backend) {}

    template <class X>
    const X* constants(std::span<const X> values) {
        static_assert(std::is_trivially_copyable_v<X>);
        if (values.empty() || dry_) {
            return nullptr;
        }
        tables_.emplace_back(backend_);
        tables_.back().require(static_cast<Index>(values.size_bytes()));
        backend_.to_device(tables_.back().data(), values.data(), values.size_bytes());
        return reinterpret_cast<const X*>(tables_.back().data());
    }
    // The first pass of a recording learns how much is needed (and must not be run), the second gets it.
    template <class X>
    X* scratch(Index count) {
        const Index bytes = (count * static_cast<Index>(sizeof(X)) + 255) / 256 * 256;
        const Index at = used_;
        used_ += bytes;
        most_ = std::max(most_, used_);
        return scratch_.data() == nullptr ? nullptr : reinterpret_cast<X*>(scratch_.data() + at);
    }
    // The same, but not shared: it keeps its contents to the end of the list.
    template <class X>
    X* kept(Index count) {
        const Index bytes = (count * static_cast<Index>(sizeof(X)) + 255) / 256 * 256;
        const Index at = kept_used_;
        kept_used_ += bytes;
        return kept_.size() < kept_used_ ? nullptr : reinterpret_cast<X*>(kept_.data() + at);
    }
    [[nodiscard]] bool dry() const { return dry_; }
    void next_stage() { used_ = 0; }
    // Whether memory had to grow: record again.
    bool settle() {
        const bool grown = kept_.require(kept_used_);
        return scratch_.require(most_) || grown;
    }
    // Before a recording: constants and places that are kept are given anew.
    void begin() {
        tables_.clear();
        kept_used_ = 0;
    }

private:
    device::Backend& backend_;
    bool dry_;
    std::vector<device::Buffer<std::byte>> tables_;
    device::Buffer<std::byte> scratch_, kept_;
    Index used_ = 0, most_ = 0, kept_used_ = 0;
};

// Sums over the lanes that nobody reads before the nodes of the part have run: one launch for all products,
// one for all plain sums, one for the totals of both.
template <class T>
struct DeferredSums {
    struct Product {
        Index work; // the longest ones go first
        kernels::GradientPiece<T> piece;
    };
    std::vector<Product> products;
    std::vector<kernels::LaneSumPiece<T>> sums;
    std::vector<kernels::TotalPlace<T>> places;
    Index elements = 0; // of all places
};

template <class T>
struct DeviceRun {
    struct Operand {
        T* data = nullptr;
        Index capacity = 0; // rows
        Index columns = 0;
        Extent extent;
    };
    const DeviceBatch<T>* batch = nullptr;
    std::span<const Operand> inputs, outputs;
    device::LaunchList* list = nullptr;
    DeviceMemory* memory = nullptr;
    const T* parameters = nullptr; // the flat vector (weights need no packing here)
    bool commits_state = true;
    bool alone = false; // sums over all devices are those of this one
    kernels::ProductPrecision precision = kernels::ProductPrecision::exact; // of matrix products
    std::vector<kernels::RowProduct<T>>* row_products = nullptr; // where products go that may be steps
    DeferredSums<T>* deferred = nullptr; // where the outputs of the node may wait for the end of the part

    [[nodiscard]] const Operand& input(int i) const { return inputs[static_cast<std::size_t>(i)]; }
    [[nodiscard]] const Operand& output(int i) const { return outputs[static_cast<std::size_t>(i)]; }
    [[nodiscard]] const T* in(int i) const { return input(i).data; }
    [[nodiscard]] T* out(int i) const { return output(i).data; }
    [[nodiscard]] bool has_out(int i) const {
        return static_cast<std::size_t>(i) < outputs.size() && output(i).data != nullptr;
    }
    [[nodiscard]] Index in_columns(int i) const { return input(i).columns; }
    [[nodiscard]] Index out_columns(int i) const { return output(i).columns; }

    [[nodiscard]] const Index* axis_rows(Axis axis) const {
        return axis == Axis::one ? nullptr : batch->lane_begin[static_cast<std::size_t>(axis)] + batch->lanes;
    }
    [[nodiscard]] kernels::RowCount rows(Extent extent) const {
        return {axis_rows(extent.axis), extent.times};
    }
    [[nodiscard]] kernels::LaneRows lanes(Extent extent) const {
        return {batch->lane_begin[static_cast<std::size_t>(extent.axis)], batch->lanes, extent.times};
    }

    // g(i) for every number of an operand's shape, which reads and writes number i of its operands alone;
    // g(row, column) for the same; g(row) for every row.
    template <class G>
    void flat(const Operand& shape, const G& g) const {
        by_rows(shape.extent, shape.capacity, shape.columns,
                kernels::PerFlat<G>{rows(shape.extent), shape.columns, g});
        list->mark_elementwise();
    }
    template <class G>
    void numbers(const Operand& shape, const G& g) const {
        wide_numbers(shape.extent, shape.capacity, shape.columns, g);
    }
    template <class G>
    void wide_numbers(Extent extent, Index capacity, Index columns, const G& g) const {
        check(capacity * columns < (Index{1} << 32), ExitCode::device,
              "a value of {} rows of {} numbers: a device counts them in 32 bits; smaller batches are needed",
              capacity, columns);
        by_rows(extent, capacity, columns,
                kernels::PerNumber<G>{rows(extent), static_cast<std::uint32_t>(columns), g});
    }
    template <class G>
    void each_row(const Operand& shape, const G& g) const {
        by_rows(shape.extent, shape.capacity, 1, kernels::PerRow<G>{rows(shape.extent), g});
    }
    template <class F>
    void by_rows(Extent extent, Index capacity, Index row_items, const F& f) const {
        list->rows(capacity, row_items, axis_rows(extent.axis), extent.times, f);
    }
    // put(c, sum over the rows of a value with this extent of leaf(row, c)), lane by lane and by the tree.
    template <int Width, class Sum, class Leaf, class Put>
    void sum_over_lanes(kernels::LaneRows lane_rows, Index columns, const Leaf& leaf, const Put& put) const {
        auto* partial = memory->scratch<Sum>(lane_rows.lanes * columns);
        const kernels::LaneSums<Sum, Leaf, Width> sums{lane_rows, columns, leaf, partial};
        list->team(sums.blocks(), sums);
        list->each(columns, kernels::LaneTotals<Sum, Put>{partial, lane_rows.lanes, columns, put});
    }
    // Memory for partial sums of lanes whose totals go through total().
    [[nodiscard]] T* partial_sums(Index count) const {
        return deferred != nullptr ? memory->kept<T>(count) : memory->scratch<T>(count);
    }
    // The trees over the lanes of elements [0, count), each to its place: now, or with all others.
    void total(std::vector<kernels::TotalPlace<T>> places, Index count, Index lanes_of_part) const {
        if (deferred == nullptr) {
            list->each(count, kernels::PlacedTotals<T>{
                                  memory->constants(std::span<const kernels::TotalPlace<T>>(places)),
                                  static_cast<Index>(places.size()), lanes_of_part});
            return;
        }
        for (kernels::TotalPlace<T>& place : places) {
            place.first += deferred->elements;
            deferred->places.push_back(place);
        }
        deferred->elements += count;
    }
    // The pieces' products over the rows of a value, lane by lane, at partial [lanes x elements].
    void products(kernels::LaneRows rows, Index capacity, std::vector<kernels::GradientPiece<T>> pieces,
                  T* partial, Index elements) const {
        for (kernels::GradientPiece<T>& piece : pieces) {
            piece.rows = rows;
            piece.partial = partial;
            piece.lane_stride = elements;
            if (deferred != nullptr) {
                deferred->products.push_back({capacity * piece.components, piece});
            }
        }
        if (deferred == nullptr) {
            launch(*list, *memory, batch->lanes, pieces, precision);
        }
    }
    static void launch(device::LaunchList& list, DeviceMemory& memory, Index lanes,
                       const std::vector<kernels::GradientPiece<T>>& pieces,
                       kernels::ProductPrecision precision) {
        const auto* table = memory.constants(std::span<const kernels::GradientPiece<T>>(pieces));
        kernels::with_precision<T>(precision, [&]<kernels::ProductPrecision p>() {
            list.team(static_cast<Index>(pieces.size()) * lanes,
                      kernels::WeightGradientProduct<T, p>{table, lanes});
        });
    }
    static void launch(device::LaunchList& list, DeviceMemory& memory, Index lanes,
                       const std::vector<kernels::LaneSumPiece<T>>& pieces) {
        list.team(static_cast<Index>(pieces.size()) * lanes,
                  kernels::LaneSumPieces<T>{
                      memory.constants(std::span<const kernels::LaneSumPiece<T>>(pieces)), lanes});
    }
    // Output 0 [columns] = the sum over all rows of x [rows x stride], or of x · y.
    void gradient_sum(kernels::LaneRows rows, Index columns, const T* x, const T* y, Index stride) const {
        T* partial = partial_sums(rows.lanes * columns);
        const int width = columns == 1 ? 1 : 32;
        std::vector<kernels::LaneSumPiece<T>> pieces;
        for (Index c = 0; c < columns; c += width) {
            pieces.push_back({rows, x + c, y == nullptr ? nullptr : y + c, stride,
                              std::min<Index>(width, columns - c), width, partial, c, columns});
        }
        if (deferred != nullptr) {
            deferred->sums.insert(deferred->sums.end(), pieces.begin(), pieces.end());
        } else {
            launch(*list, *memory, rows.lanes, pieces);
        }
        total({{partial, columns, 0, columns, columns, out(0)}}, columns, rows.lanes);
    }
    // The same of leaf(row, column).
    template <int Width, class Leaf>
    void gradient_sum(kernels::LaneRows lane_rows, Index columns, const Leaf& leaf) const {
        T* partial = partial_sums(lane_rows.lanes * columns);
        const kernels::LaneSums<T, Leaf, Width> sums{lane_rows, columns, leaf, partial};
        list->team(sums.blocks(), sums);
        total({{partial, columns, 0, columns, columns, out(0)}}, columns, lane_rows.lanes);
    }
};

} // namespace tether
