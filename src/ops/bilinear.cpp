#include "tether/ops/bilinear.hpp"

#include "tether/core/error.hpp"
#include "tether/kernels/bilinear.hpp"
#include "tether/kernels/bilinear_numbers.hpp"
#include "tether/ops/block_linear.hpp"
#include "tether/ops/elementwise.hpp"
#include "tether/ops/graph.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <type_traits>

namespace tether::ops {
namespace {

// Rows that are worked on together: their sums and factors stay in the first-level cache.
constexpr Index rows_at_once = 8;

// The map as tables that a kernel walks: entries grouped by output block.
class Tables {
public:
    // Output columns that no term reaches get a block without entries, so that every column is written.
    explicit Tables(const BilinearMap& map) {
        std::map<Index, std::vector<BilinearTerm>> by_column;
        for (const BilinearTerm& t : map.terms) {
            by_column[t.out_column].push_back(t);
        }
        Index next = 0;
        const auto empty_until = [&](Index column) {
            if (column > next) {
                const auto e = static_cast<Index>(entries_.size());
                blocks_.push_back({next, column - next, e, e});
            }
        };
        for (const auto& [column, terms] : by_column) {
            check(column >= next, "bilinear: output blocks overlap at column {}", column);
            empty_until(column);
            const auto first = static_cast<Index>(entries_.size());
            for (const BilinearTerm& t : terms) {
                check(t.length == terms.front().length, "bilinear: blocks of different length at column {}",
                      column);
                entries_.push_back({t.x_column, factor_of(t)});
            }
            next = column + terms.front().length;
            blocks_.push_back({column, terms.front().length, first, static_cast<Index>(entries_.size())});
        }
        empty_until(map.columns);
        for (const auto& f : double_) {
            single_.push_back({f.attribute, static_cast<float>(f.coefficient)});
        }
    }

    template <class T>
    [[nodiscard]] kernels::BilinearTable<T> of() const {
        const auto table = [&](const kernels::BilinearFactor<T>* factors) {
            return kernels::BilinearTable<T>{blocks_.data(), static_cast<Index>(blocks_.size()),
                                             entries_.data(), factors, static_cast<Index>(double_.size())};
        };
        if constexpr (std::is_same_v<T, float>) {
            return table(single_.data());
        } else {
            return table(double_.data());
        }
    }
    // The same in a device's memory, by number.
    template <class T>
    [[nodiscard]] kernels::BilinearNumberTable<T> on_device(DeviceMemory& memory) const {
        std::vector<std::int32_t> block_of;
        std::vector<std::int32_t> begin{0};
        std::vector<kernels::BilinearNumberTerm<T>> terms;
        for (const kernels::BilinearBlock& block : blocks_) {
            block_of.resize(static_cast<std::size_t>(block.column + block.length),
                            static_cast<std::int32_t>(begin.size() - 1));
            for (Index e = block.first; e < block.last; ++e) {
                const kernels::BilinearEntry& entry = entries_[static_cast<std::size_t>(e)];
                const auto& factor = double_[static_cast<std::size_t>(entry.factor)];
                terms.push_back({static_cast<std::int32_t>(entry.column - block.column),
                                 static_cast<std::int32_t>(factor.attribute),
                                 static_cast<T>(factor.coefficient)});
            }
            begin.push_back(static_cast<std::int32_t>(terms.size()));
        }
        return {memory.constants(std::span<const std::int32_t>(block_of)),
                memory.constants(std::span<const std::int32_t>(begin)),
                memory.constants(std::span<const kernels::BilinearNumberTerm<T>>(terms))};
    }
    [[nodiscard]] Index factors() const { return static_cast<Index>(double_.size()); }
    // Multiplications and additions of one row.
    [[nodiscard]] double flop() const {
        double per_row = 0;
        for (const auto& b : blocks_) {
            per_row += 2.0 * static_cast<double>(b.length * (b.last - b.first));
        }
        return per_row;
    }

private:
    Index factor_of(const BilinearTerm& t) {
        for (std::size_t f = 0; f < double_.size(); ++f) {
            if (double_[f].attribute == t.attribute && double_[f].coefficient == t.coefficient) {
                return static_cast<Index>(f);
            }
        }
        double_.push_back({t.attribute, t.coefficient});
        return static_cast<Index>(double_.size()) - 1;
    }

    std::vector<kernels::BilinearBlock> blocks_;
    std::vector<kernels::BilinearEntry> entries_;
    std::vector<kernels::BilinearFactor<double>> double_;
    std::vector<kernels::BilinearFactor<float>> single_;
};

BilinearMap transposed(const BilinearMap& map, Index columns) {
    BilinearMap back{columns, {}};
    for (const BilinearTerm& t : map.terms) {
        back.terms.push_back({t.x_column, t.out_column, t.attribute, t.length, t.coefficient});
    }
    return back;
}

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
    Tables tables_;
    Index columns_;
};

// Inputs: x (or receiver part, sender part[, edge part]), attributes[, add][, bias].
class BilinearOp : public OpOf<BilinearOp> {
public:
    BilinearOp(BilinearMap map, int parts, bool gathered, const BilinearOptions& options)
        : map_(std::move(map)), tables_(map_), parts_(parts), gathered_(gathered), has_add_(options.add),
          has_bias_(options.bias) {}
    [[nodiscard]] std::string_view name() const override {
        return gathered_ ? "gathered_bilinear" : "bilinear";
    }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    [[nodiscard]] bool cheap() const override { return !gathered_; }

    template <class T>
    void execute(Run<T>& r) const {
        const Index columns = r.out_columns(0);
        const Index x_columns = r.in_columns(0);
        const auto needed =
            static_cast<std::size_t>(rows_at_once * (tables_.factors() + x_columns) + columns);
        if (r.scratch->size() < needed) {
            r.scratch->resize(needed);
        }
        T* gathered = r.scratch->data();
        T* factor = gathered + rows_at_once * x_columns;
        T* bias = factor + rows_at_once * tables_.factors();
        if (has_bias_) {
            const int at = parts_ + 1 + (has_add_ ? 1 : 0);
            std::copy_n(r.in(at), r.in_columns(at), bias);
            std::fill(bias + r.in_columns(at), bias + columns, T(0));
        }
        const auto table = tables_.of<T>();
        const Index a_columns = r.in_columns(parts_);
        for (Index first = 0; first < r.out_rows(0); first += rows_at_once) {
            const Index count = std::min(rows_at_once, r.out_rows(0) - first);
            T* out = r.out(0) + first * columns;
            kernels::BilinearRows<T> rows{count,  r.in(0) + first * x_columns, x_columns, nullptr, 0, out,
                                          columns};
            if (gathered_) {
                gather(r, first, count, gathered);
                rows.x = gathered;
            }
            if (has_bias_) {
                rows.add = bias;
            }
            if (has_add_) {
                const T* add = r.in(parts_ + 1) + first * columns;
                rows.add = add;
                rows.add_stride = columns;
                if (has_bias_) {
                    for (Index k = 0; k < count; ++k) {
                        for (Index c = 0; c < columns; ++c) {
                            out[k * columns + c] = add[k * columns + c] + bias[c];
                        }
                    }
                    rows.add = out;
                }
            }
            kernels::bilinear_factors(table, count, r.in(parts_) + first * a_columns, a_columns, factor);
            kernels::bilinear_rows(table, rows, static_cast<const T*>(factor));
        }
    }

    template <class T>
    void record(DeviceRun<T>& r) const {
        const kernels::TopologyView& t = r.batch->topology;
        const Index x_columns = r.in_columns(0);
        if (gathered_) {
            record_with(r, kernels::GatheredFeatures<T>{r.in(0), r.in(1), parts_ == 3 ? r.in(2) : nullptr,
                                                        t.receiver, t.sender, x_columns,
                                                        parts_ == 3 ? r.in_columns(2) : 0});
        } else {
            record_with(r, kernels::PlainFeatures<T>{r.in(0), x_columns});
        }
    }

    void reverse(Reverse& r) const override {
        Builder& b = r.builder();
        const Value dy = r.gradient(0);
        const Value a = r.in(parts_);
        bool wants_x = false;
        for (int p = 0; p < parts_; ++p) {
            wants_x = wants_x || r.wants(p);
        }
        if (wants_x && gathered_) {
            std::vector<std::pair<Extent, Index>> out;
            for (int p = 0; p < parts_; ++p) {
                out.emplace_back(b.info(r.in(p)).extent, b.info(r.in(p)).columns);
            }
            const auto d = b.append_all(
                std::make_shared<GatheredBackward>(transposed(map_, b.info(r.in(0)).columns)), {dy, a}, out);
            for (int p = 0; p < parts_; ++p) {
                if (r.wants(p)) {
                    r.add(p, d[static_cast<std::size_t>(p)]);
                }
            }
        } else if (wants_x) {
            r.add(0, bilinear(b, dy, a, transposed(map_, b.info(r.in(0)).columns)));
        }
        if (r.wants(parts_)) {
            Value x = r.in(0);
            if (gathered_) {
                std::vector<Value> gathered{at_receiver(b, r.in(0)), at_sender(b, r.in(1))};
                if (parts_ == 3) {
                    gathered.push_back(place(b, r.in(2), 0, b.info(r.in(0)).columns));
                }
                x = add(b, gathered);
            }
            r.add(parts_, b.append(std::make_shared<AttributeGradient>(map_), {x, dy}, b.info(a).extent,
                                   b.info(a).columns));
        }
        int next = parts_ + 1;
        if (has_add_) {
            if (r.wants(next)) {
                r.add(next, dy);
            }
            ++next;
        }
        if (has_bias_ && r.wants(next)) {
            bias_gradient(b, dy, r.in(next));
        }
    }

    [[nodiscard]] double flop(const Run<float>& r) const override {
        const double sums = gathered_ ? static_cast<double>((parts_ - 1) * r.in_columns(0)) : 0;
        return (sums + tables_.flop()) * static_cast<double>(r.out_rows(0));
    }

private:
    template <class T, class Features>
    void record_with(DeviceRun<T>& r, const Features& x) const {
        const int bias = parts_ + 1 + (has_add_ ? 1 : 0);
        r.numbers(r.output(0), kernels::BilinearNumbers<T, Features>{
                                   x, r.in(parts_), r.in_columns(parts_), tables_.on_device<T>(*r.memory),
                                   has_add_ ? r.in(parts_ + 1) : nullptr, has_bias_ ? r.in(bias) : nullptr,
                                   has_bias_ ? r.in_columns(bias) : 0, r.out(0), r.out_columns(0)});
    }
    // Sums of what belongs to the ends of some edges, and to the edges.
    template <class T>
    void gather(const Run<T>& r, Index first, Index count, T* sum) const {
        const Index columns = r.in_columns(0);
        const Index edge_columns = parts_ == 3 ? r.in_columns(2) : 0;
        const Topology& t = r.batch->topology;
        for (Index k = 0; k < count; ++k) {
            const auto e = static_cast<std::size_t>(r.tile.first + first + k);
            const T* __restrict__ at_receiver = r.in(0) + t.receiver[e] * columns;
            const T* __restrict__ at_sender = r.in(1) + t.sender[e] * columns;
            const T* __restrict__ on_edge = parts_ == 3 ? r.in(2) + (first + k) * edge_columns : nullptr;
            T* __restrict__ to = sum + k * columns;
            for (Index c = 0; c < edge_columns; ++c) {
                to[c] = (at_receiver[c] + at_sender[c]) + on_edge[c];
            }
            for (Index c = edge_columns; c < columns; ++c) {
                to[c] = at_receiver[c] + at_sender[c];
            }
        }
    }

    BilinearMap map_;
    Tables tables_;
    int parts_;
    bool gathered_, has_add_, has_bias_;
};

void check_map(const Builder& b, Value x, Value attributes, const BilinearMap& map) {
    for (const BilinearTerm& t : map.terms) {
        check(t.out_column + t.length <= map.columns && t.x_column + t.length <= b.info(x).columns &&
                  t.attribute < b.info(attributes).columns,
              "bilinear: a term reads x columns {} to {} of {} and attribute {} of {}", t.x_column,
              t.x_column + t.length, b.info(x).columns, t.attribute, b.info(attributes).columns);
    }
}

void append_options(const Builder& b, std::vector<Value>& in, Extent extent, Index columns,
                    const BilinearOptions& options) {
    if (options.add) {
        check(b.info(*options.add).columns == columns && b.info(*options.add).extent == extent,
              "bilinear: {} columns to be added to {}", b.info(*options.add).columns, columns);
        in.push_back(*options.add);
    }
    if (options.bias) {
        check(b.info(*options.bias).columns <= columns, "bilinear: {} biases for {} columns",
              b.info(*options.bias).columns, columns);
        in.push_back(*options.bias);
    }
}

} // namespace

Value bilinear(Builder& b, Value x, Value attributes, const BilinearMap& map,
               const BilinearOptions& options) {
    check_map(b, x, attributes, map);
    check(b.info(x).extent == b.info(attributes).extent,
          "bilinear: features and attributes of different extents");
    std::vector<Value> in{x, attributes};
    append_options(b, in, b.info(x).extent, map.columns, options);
    return b.append(std::make_shared<BilinearOp>(map, 1, false, options), std::move(in), b.info(x).extent,
                    map.columns);
}

Value gathered_bilinear(Builder& b, Value at_receiver, Value at_sender, std::optional<Value> on_edge,
                        Value attributes, const BilinearMap& map, const BilinearOptions& options) {
    check_map(b, at_receiver, attributes, map);
    std::vector<Value> in{at_receiver, at_sender};
    if (on_edge) {
        in.push_back(*on_edge);
    }
    for (std::size_t i = 0; i < in.size(); ++i) {
        check(i == 2 ? b.info(in[i]).columns <= b.info(at_receiver).columns
                     : b.info(in[i]).columns == b.info(at_receiver).columns,
              "gathered_bilinear: parts of {} and {} columns", b.info(at_receiver).columns,
              b.info(in[i]).columns);
    }
    const Extent nodes{Axis::node, 1};
    const Extent edges{Axis::edge, 1};
    check(b.info(at_receiver).extent == nodes && b.info(at_sender).extent == nodes &&
              (!on_edge || b.info(*on_edge).extent == edges) && b.info(attributes).extent == edges,
          "gathered_bilinear: node rows at both ends, edge rows and edge attributes expected");
    const int parts = static_cast<int>(in.size());
    in.push_back(attributes);
    append_options(b, in, edges, map.columns, options);
    return b.append(std::make_shared<BilinearOp>(map, parts, true, options), std::move(in),
                    b.info(attributes).extent, map.columns);
}

} // namespace tether::ops
