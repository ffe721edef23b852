// Gradients of all weight views of one block-linear map: sums over rows and components of x dy, lane by lane
// and by the tree over lanes.
#include "src/ops/weight_gradient.hpp"

#include "tether/device/gemm.hpp"
#include "tether/kernels/product.hpp"
#include "tether/ops/lane_reduce.hpp"

#include <algorithm>
#include <utility>

namespace tether::ops {
namespace {

class WeightGradient : public OpOf<WeightGradient> {
public:
    WeightGradient(std::vector<WeightPart> parts, Extent rows)
        : parts_(std::move(parts)),
          most_tiled_weights_(rows.axis == Axis::edge || rows.times > 1 ? 1 << 15 : 13000) {
        for (const WeightPart& p : parts_) {
            elements_ += p.weight.k * p.weight.n;
        }
    }
    [[nodiscard]] std::string_view name() const override { return "weight_gradient"; }
    // Sums that are large for the number of rows of a lane are made block by block from all rows instead.
    [[nodiscard]] bool sums_tiles() const override { return elements_ <= most_tiled_weights_; }

    template <class T>
    void execute(Run<T>& r) const {
        if (sums_tiles()) {
            by_rows(r);
            return;
        }
        const std::span<const Index> lanes = r.lanes(r.inputs.back().extent);
        for (const WeightPart& p : parts_) {
            const auto [a, b] = factors(r, p, 0);
            const bool plain = p.weight.n_stride == 1;
            device::multiply_transposed(lanes, p.components, a, b, r.out(0) + p.weight.offset,
                                        plain ? p.weight.k_stride : p.weight.n_stride, false, *r.scratch);
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        std::vector<kernels::GradientPiece<T>> pieces;
        std::vector<kernels::TotalPlace<T>> places; // partial sums are put in when they have their memory
        Index elements = 0;
        constexpr Index most_rows = kernels::ProductTile::rows;
        constexpr Index most_columns = kernels::ProductTile::columns;
        for (const WeightPart& p : parts_) {
            const auto& x = r.inputs[static_cast<std::size_t>(p.input)];
            const auto& dy = r.inputs.back();
            const bool plain = p.weight.n_stride == 1;
            kernels::GradientPiece<T> whole{x.data + p.x_column,  x.columns,  p.x_stride, p.weight.k,
                                            dy.data + p.y_column, dy.columns, p.y_stride, p.weight.n,
                                            p.components,         elements,   0};
            if (!plain) { // in the order in which the gradient lies in memory
                std::swap(whole.a, whole.b);
                std::swap(whole.a_stride, whole.b_stride);
                std::swap(whole.a_component, whole.b_component);
                std::swap(whole.a_columns, whole.b_columns);
            }
            whole.partial_stride = whole.b_columns;
            places.push_back({nullptr, 0, elements, whole.b_columns,
                              plain ? p.weight.k_stride : p.weight.n_stride, r.out(0) + p.weight.offset});
            for (Index i = 0; i < whole.a_columns; i += most_rows) {
                for (Index j = 0; j < whole.b_columns; j += most_columns) {
                    kernels::GradientPiece<T> piece = whole;
                    piece.a += i;
                    piece.b += j;
                    piece.a_columns = std::min(most_rows, whole.a_columns - i);
                    piece.b_columns = std::min(most_columns, whole.b_columns - j);
                    piece.at += i * whole.b_columns + j;
                    pieces.push_back(piece);
                }
            }
            elements += whole.a_columns * whole.b_columns;
        }
        const kernels::LaneRows lanes = r.lanes(r.inputs.back().extent);
        T* partial = r.partial_sums(lanes.lanes * elements);
        r.products(lanes, r.inputs.back().capacity, std::move(pieces), partial, elements);
        for (kernels::TotalPlace<T>& place : places) {
            place.partial = partial + place.first;
            place.lane_stride = elements;
        }
        r.total(std::move(places), elements, lanes.lanes);
    }
    [[nodiscard]] double flop(const Run<float>& r) const override {
        double per_row = 0;
        for (const WeightPart& p : parts_) {
            per_row += 2.0 * static_cast<double>(p.components * p.weight.k * p.weight.n);
        }
        return per_row * static_cast<double>(r.inputs.back().rows);
    }

private:
    // x and dy from a row on, in the order in which the gradient lies in memory.
    template <class T>
    [[nodiscard]] std::pair<device::Factor<T>, device::Factor<T>>
    factors(const Run<T>& r, const WeightPart& p, Index row) const {
        const auto& x = r.inputs[static_cast<std::size_t>(p.input)];
        const auto& dy = r.inputs.back();
        const device::Factor<T> fx{x.data + row * x.columns + p.x_column, x.columns, p.x_stride, p.weight.k};
        const device::Factor<T> fy{dy.data + row * dy.columns + p.y_column, dy.columns, p.y_stride,
                                   p.weight.n};
        return p.weight.n_stride == 1 ? std::pair(fx, fy) : std::pair(fy, fx);
    }

    // A few rows at a time through all parts: rows are read once, the sums stay in the cache.
    template <class T>
    void by_rows(Run<T>& r) const {
        Index columns = 0;
        for (const WeightPart& p : parts_) {
            const auto [a, b] = factors(r, p, 0);
            columns += a.columns * device::padded_columns<T>(b.columns);
        }
        const auto add_rows = [&](Index first, Index count, T* sum) {
            for (const WeightPart& p : parts_) {
                const auto [a, b] = factors(r, p, first);
                device::accumulate_transposed(count, p.components, a, b, sum, *r.scratch);
                sum += a.columns * device::padded_columns<T>(b.columns);
            }
        };
        if (r.sums_tiles) {
            LaneTree<T> tree(r.tile.lanes, columns, *r.partial);
            if (r.tile.begins) {
                tree.clear();
            }
            add_rows(0, r.inputs.back().rows, tree.sum());
            if (r.tile.ends) {
                tree.add(r.tile.lane);
                if (r.tile.lane + 1 == r.tile.lanes) {
                    write(r, tree.sum());
                }
            }
            return;
        }
        const std::span<const Index> lanes = r.lanes(r.inputs.back().extent);
        LaneTree<T> tree(static_cast<Index>(lanes.size()) - 1, columns, *r.partial);
        for (std::size_t l = 0; l + 1 < lanes.size(); ++l) {
            tree.clear();
            for (Index row = lanes[l]; row < lanes[l + 1]; row += chunk_rows) {
                add_rows(row, std::min(chunk_rows, lanes[l + 1] - row), tree.sum());
            }
            tree.add(static_cast<Index>(l));
        }
        write(r, tree.sum());
    }

    template <class T>
    void write(Run<T>& r, const T* sum) const {
        for (const WeightPart& p : parts_) {
            const auto [a, b] = factors(r, p, 0);
            const Index stride = p.weight.n_stride == 1 ? p.weight.k_stride : p.weight.n_stride;
            for (Index i = 0; i < a.columns; ++i) {
                std::copy_n(sum, b.columns, r.out(0) + p.weight.offset + i * stride);
                sum += device::padded_columns<T>(b.columns);
            }
        }
    }

    std::vector<WeightPart> parts_;
    Index most_tiled_weights_;
    Index elements_ = 0;
};

} // namespace

std::shared_ptr<const Op> weight_gradient(std::vector<WeightPart> parts, Extent rows) {
    return std::make_shared<WeightGradient>(std::move(parts), rows);
}

} // namespace tether::ops
