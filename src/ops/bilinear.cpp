#include "tether/ops/bilinear.hpp"

#include "src/ops/bilinear_gradient.hpp"
#include "src/ops/bilinear_tables.hpp"
#include "tether/core/error.hpp"
#include "tether/ops/block_linear.hpp"
#include "tether/ops/elementwise.hpp"
#include "tether/ops/graph.hpp"

#include <algorithm>
#include <memory>

namespace tether::ops {
namespace {

BilinearMap transposed(const BilinearMap& map, Index columns) {
    BilinearMap back{columns, {}};
    for (const BilinearTerm& t : map.terms) {
        back.terms.push_back({t.x_column, t.out_column, t.attribute, t.length, t.coefficient});
    }
    return back;
}

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
            const auto d = b.append_all(gathered_bilinear_backward(transposed(map_, b.info(r.in(0)).columns)),
                                        {dy, a}, out);
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
            r.add(parts_, b.append(attribute_gradient(map_), {x, dy}, b.info(a).extent, b.info(a).columns));
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
    BilinearTables tables_;
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
