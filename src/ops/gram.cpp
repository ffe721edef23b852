#include "tether/ops/gram.hpp"

#include "tether/core/error.hpp"
#include "tether/device/gemm.hpp"
#include "tether/kernels/elementwise.hpp"
#include "tether/kernels/product.hpp"
#include "tether/ops/lane_reduce.hpp"

#include <algorithm>
#include <memory>

namespace tether::ops {
namespace {

constexpr Index block_columns = 32; // of the products below the diagonal

class Gram : public OpOf<Gram> {
public:
    explicit Gram(const std::vector<Index>& widths) : widths_(widths), layout_(widths) {}
    [[nodiscard]] std::string_view name() const override { return "gram"; }
    template <class T>
    void execute(Run<T>& r) const {
        const std::span<const Index> lanes = r.lanes(r.inputs[0].extent);
        T* to = r.out(0);
        for (const GramLayout::Block& block : layout_.blocks()) {
            const auto factor = [&](int input, Index first, Index columns) {
                return device::Factor<T>{r.in(input) + first, r.in_columns(input), 0, columns};
            };
            device::multiply_transposed<T>(lanes, 1, factor(block.row_input, block.row_in_input, block.rows),
                                           factor(block.column_input, block.column_in_input, block.columns),
                                           to + block.offset, block.columns, false, *r.scratch);
        }
        lane_reduce<T>(lanes, layout_.width() + 1, to + layout_.sum_offset(), false, *r.scratch,
                       [&](Index row, T* sum) {
                           for (std::size_t i = 0; i < r.inputs.size(); ++i) {
                               const Index columns = r.inputs[i].columns;
                               const T* x = r.inputs[i].data + row * columns;
                               for (Index c = 0; c < columns; ++c) {
                                   sum[c] += x[c];
                               }
                               sum += columns;
                           }
                           *sum += T(1);
                       });
    }
    // The same tiles as for gradients of weights.
    template <class T>
    void record(DeviceRun<T>& r) const {
        constexpr Index most_rows = kernels::ProductTile::rows;
        std::vector<kernels::GradientPiece<T>> pieces;
        for (const GramLayout::Block& block : layout_.blocks()) {
            const auto& rows = r.input(block.row_input);
            const auto& columns = r.input(block.column_input);
            for (Index i = 0; i < block.rows; i += most_rows) {
                pieces.push_back({rows.data + block.row_in_input + i, rows.columns, 0,
                                  std::min(most_rows, block.rows - i), columns.data + block.column_in_input,
                                  columns.columns, 0, block.columns, 1, block.offset + i * block.columns,
                                  block.columns});
            }
        }
        std::vector<kernels::ColumnPlace<T>> places;
        for (const auto& x : r.inputs) {
            for (Index c = 0; c < x.columns; ++c) {
                places.push_back({x.data + c, x.columns});
            }
        }
        const kernels::LaneRows lanes = r.lanes(r.input(0).extent);
        const Index products = layout_.sum_offset();
        T* partial = r.memory->template scratch<T>(lanes.lanes * products);
        r.products(lanes, r.input(0).capacity, std::move(pieces), partial, products);
        r.list->each(products, kernels::LaneTotals<T, kernels::PutTotal<T>>{
                                   partial, lanes.lanes, products, {r.out(0)}});
        r.template sum_over_lanes<32, T>(
            lanes, layout_.width() + 1,
            kernels::SideBySideLeaf<T>{r.memory->constants(std::span<const kernels::ColumnPlace<T>>(places)),
                                       layout_.width()},
            kernels::PutTotal<T>{r.out(0) + products});
    }
    [[nodiscard]] double flop(const Run<float>& r) const override {
        return 2.0 * static_cast<double>(r.in_rows(0)) * static_cast<double>(layout_.size());
    }

private:
    std::vector<Index> widths_;
    GramLayout layout_;
};

} // namespace

GramLayout::GramLayout(const std::vector<Index>& widths) {
    struct Part {
        Index first, columns;
        int input;
        Index in_input;
    };
    std::vector<Part> columns;
    for (std::size_t i = 0; i < widths.size(); ++i) {
        for (Index at = 0; at < widths[i]; at += block_columns) {
            columns.push_back(
                {width_ + at, std::min(block_columns, widths[i] - at), static_cast<int>(i), at});
        }
        width_ += widths[i];
    }
    for (const Part& column : columns) {
        // Rows from the diagonal down, one block for each input.
        Index first = 0;
        for (std::size_t i = 0; i < widths.size(); ++i) {
            const Index begin = std::max(first, column.first);
            const Index end = first + widths[i];
            if (begin < end) {
                blocks_.push_back({begin, column.first, end - begin, column.columns, products_,
                                   static_cast<int>(i), column.input, begin - first, column.in_input});
                products_ += (end - begin) * column.columns;
            }
            first = end;
        }
    }
}

template <class T>
void GramLayout::expand(const T* entries, T* matrix) const {
    constexpr Index tile = 16; // whole cache lines on both sides of a transposition
    for (const Block& block : blocks_) {
        const T* from = entries + block.offset;
        for (Index i = 0; i < block.rows; ++i) {
            std::copy_n(from + i * block.columns, block.columns,
                        matrix + (block.row + i) * width_ + block.column);
        }
        // The block on the diagonal is whole; what lies below it is mirrored.
        const Index below = block.row == block.column ? std::min(block.rows, block.columns) : 0;
        for (Index i0 = below; i0 < block.rows; i0 += tile) {
            const Index i1 = std::min(i0 + tile, block.rows);
            for (Index j = 0; j < block.columns; ++j) {
                T* to = matrix + (block.column + j) * width_ + block.row;
                for (Index i = i0; i < i1; ++i) {
                    to[i] = from[i * block.columns + j];
                }
            }
        }
    }
}

template void GramLayout::expand<float>(const float*, float*) const;
template void GramLayout::expand<double>(const double*, double*) const;

Value gram(Builder& b, const std::vector<Value>& inputs) {
    check(!inputs.empty(), "gram: no rows given");
    std::vector<Index> widths;
    for (const Value x : inputs) {
        check(b.info(x).extent == b.info(inputs.front()).extent && b.info(x).extent.axis != Axis::one,
              "gram: rows of one extent of the batch expected");
        widths.push_back(b.info(x).columns);
    }
    const Index size = GramLayout(widths).size();
    return b.append(std::make_shared<Gram>(widths), inputs, {Axis::one, 1}, size);
}

} // namespace tether::ops
