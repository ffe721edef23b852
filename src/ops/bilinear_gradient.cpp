#include "src/ops/bilinear_gradient.hpp"

#include "src/ops/bilinear_tables.hpp"

#include <algorithm>
#include <utility>

namespace tether::ops {
namespace {

// Gradient of the attributes: da[attribute] += coefficient · <x block, dy block>.
class AttributeGradient : public OpOf<AttributeGradient> {
public:
    explicit AttributeGradient(BilinearMap map) : map_(std::move(map)) {}
    [[nodiscard]] std::string_view name() const override { return "attribute_gradient"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        for (Index row = 0; row < r.out_rows(0); ++row) {
            const T* x = r.in(0) + row * r.in_columns(0);
            const T* dy = r.in(1) + row * r.in_columns(1);
            T* da = r.out(0) + row * r.out_columns(0);
            std::fill_n(da, r.out_columns(0), T(0));
            for (const BilinearTerm& t : map_.terms) {
                T sum = 0;
                for (Index u = 0; u < t.length; ++u) {
                    sum += x[t.x_column + u] * dy[t.out_column + u];
                }
                da[t.attribute] += static_cast<T>(t.coefficient) * sum;
            }
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        const Index columns = r.out_columns(0);
        std::vector<std::int32_t> begin{0};
        std::vector<kernels::AttributeTerm<T>> terms;
        for (Index attribute = 0; attribute < columns; ++attribute) {
            for (const BilinearTerm& t : map_.terms) {
                if (t.attribute == attribute) {
                    terms.push_back({static_cast<std::int32_t>(t.x_column),
                                     static_cast<std::int32_t>(t.out_column),
                                     static_cast<std::int32_t>(t.length), static_cast<T>(t.coefficient)});
                }
            }
            begin.push_back(static_cast<std::int32_t>(terms.size()));
        }
        r.numbers(r.output(0), kernels::AttributeGradientNumbers<T>{
                                   r.in(0), r.in_columns(0), r.in(1), r.in_columns(1),
                                   r.memory->constants(std::span<const std::int32_t>(begin)),
                                   r.memory->constants(std::span<const kernels::AttributeTerm<T>>(terms)),
                                   r.out(0), columns});
    }

private:
    BilinearMap map_;
};

// Reverse of the gathered form: dx of an edge is made in the first-level cache and added at once to
// the rows of its receiver and its sender, in ascending edge order for both, as the segment sums do.
// Inputs dy, attributes; outputs d at_receiver, d at_sender[, d on_edge].
class GatheredBackward : public OpOf<GatheredBackward> {
public:
    explicit GatheredBackward(const BilinearMap& back) : tables_(back), columns_(back.columns) {}
    [[nodiscard]] std::string_view name() const override { return "gathered_bilinear_backward"; }
    [[nodiscard]] bool sums_tiles() const override { return true; }
    [[nodiscard]] bool rows_on_devices() const override { return true; }
    template <class T>
    void execute(Run<T>& r) const {
        const auto needed = static_cast<std::size_t>(rows_at_once * (tables_.factors() + columns_));
        if (r.scratch->size() < needed) {
            r.scratch->resize(needed);
        }
        T* dx = r.scratch->data();
        T* factor = dx + rows_at_once * columns_;
        for (int o = 0; o < 2; ++o) {
            if (r.has_out(o) && r.tile.lane == 0 && r.tile.begins) {
                std::fill_n(r.out(o), r.out_rows(o) * columns_, T(0));
            }
        }
        const auto table = tables_.of<T>();
        const Topology& t = r.batch->topology;
        for (Index first = 0; first < r.in_rows(0); first += rows_at_once) {
            const Index count = std::min(rows_at_once, r.in_rows(0) - first);
            kernels::bilinear_factors(table, count, r.in(1) + first * r.in_columns(1), r.in_columns(1),
                                      factor);
            kernels::bilinear_rows(
                table, {count, r.in(0) + first * r.in_columns(0), r.in_columns(0), nullptr, 0, dx, columns_},
                static_cast<const T*>(factor));
            for (Index k = 0; k < count; ++k) {
                const auto e = static_cast<std::size_t>(r.tile.first + first + k);
                const T* from = dx + k * columns_;
                if (r.has_out(0)) {
                    add_row(r.out(0) + t.receiver[e] * columns_, from);
                }
                if (r.has_out(1)) {
                    add_row(r.out(1) + t.sender[e] * columns_, from);
                }
                if (r.has_out(2)) {
                    std::copy_n(from, r.out_columns(2), r.out(2) + (first + k) * r.out_columns(2));
                }
            }
        }
    }
    // A node sums over its edges, once as receiver and once as sender, what the map gives for each: computed
    // twice, but never kept.
    template <class T>
    void record(DeviceRun<T>& r) const {
        const kernels::BilinearNumberTable<T> table = tables_.on_device<T>(*r.memory);
        const kernels::TopologyView& t = r.batch->topology;
        const int ends = (r.has_out(0) ? 1 : 0) + (r.has_out(1) ? 1 : 0);
        if (ends > 0) {
            const auto& nodes = r.output(r.has_out(0) ? 0 : 1);
            r.wide_numbers(nodes.extent, nodes.capacity, ends * columns_,
                           kernels::GatheredBackwardNumbers<T>{
                               r.in(0), r.in_columns(0), r.in(1), r.in_columns(1), table, t.receiver_begin,
                               t.by_sender, t.sender_begin, r.has_out(0) ? r.out(0) : nullptr,
                               r.has_out(1) ? r.out(1) : nullptr, columns_, r.has_out(0)});
        }
        if (r.has_out(2)) {
            r.numbers(r.output(2),
                      kernels::BilinearNumbers<T, kernels::PlainFeatures<T>>{{r.in(0), r.in_columns(0)},
                                                                             r.in(1),
                                                                             r.in_columns(1),
                                                                             table,
                                                                             nullptr,
                                                                             nullptr,
                                                                             0,
                                                                             r.out(2),
                                                                             r.out_columns(2)});
        }
    }
    [[nodiscard]] double flop(const Run<float>& r) const override {
        return (2.0 * static_cast<double>(columns_) + tables_.flop()) * static_cast<double>(r.in_rows(0));
    }

private:
    template <class T>
    void add_row(T* __restrict__ to, const T* __restrict__ from) const {
        for (Index c = 0; c < columns_; ++c) {
            to[c] += from[c];
        }
    }
    BilinearTables tables_;
    Index columns_;
};

} // namespace

std::shared_ptr<const Op> attribute_gradient(BilinearMap map) {
    return std::make_shared<AttributeGradient>(std::move(map));
}

std::shared_ptr<const Op> gathered_bilinear_backward(const BilinearMap& back) {
    return std::make_shared<GatheredBackward>(back);
}

} // namespace tether::ops
