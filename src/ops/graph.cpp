#include "tether/ops/graph.hpp"

#include "tether/core/error.hpp"
#include "tether/kernels/graph.hpp"
#include "tether/ops/elementwise.hpp"

#include <algorithm>
#include <memory>

namespace tether::ops {
namespace {

enum class Segment { receiver, sender, graph };

// Rows of one node, edge or graph at several times lie one after the other: as many as its row of
// times · columns numbers.
template <class T>
Index wide_columns(const typename Run<T>::Operand& x) {
    return x.columns * x.extent.times;
}
template <class T>
Index wide_rows(const typename Run<T>::Operand& x) {
    return x.rows / x.extent.times;
}

// Number, in the part, of the first node, edge or graph of the tile.
template <class T>
Index first_item(const Run<T>& r, const typename Run<T>::Operand& x) {
    return r.tile.first / x.extent.times;
}

// g(item, wide column) on a device.
template <class T, class G>
void wide_numbers(const DeviceRun<T>& r, const typename DeviceRun<T>::Operand& x, const G& g) {
    r.wide_numbers({x.extent.axis, 1}, x.capacity / x.extent.times, x.columns * x.extent.times, g);
}

// How the rows of one segment are found: contiguous, or through a list of edge numbers.
template <class T>
struct Segments {
    const std::int32_t* begin;
    const std::int32_t* order; // null: rows are contiguous
    static Segments of(const Run<T>& r, Segment kind) {
        const Topology& t = r.batch->topology;
        switch (kind) {
        case Segment::receiver: return {t.receiver_begin.data(), nullptr};
        case Segment::sender: return {t.sender_begin.data(), t.by_sender.data()};
        case Segment::graph: return {t.node_begin.data(), nullptr};
        }
        return {};
    }
    static Segments of(const DeviceRun<T>& r, Segment kind) {
        const kernels::TopologyView& t = r.batch->topology;
        switch (kind) {
        case Segment::receiver: return {t.receiver_begin, nullptr};
        case Segment::sender: return {t.sender_begin, t.by_sender};
        case Segment::graph: return {t.node_begin, nullptr};
        }
        return {};
    }
    // The segment of every row.
    static const std::int32_t* of_row(const Run<T>& r, Segment kind) {
        const Topology& t = r.batch->topology;
        switch (kind) {
        case Segment::receiver: return t.receiver.data();
        case Segment::sender: return t.sender.data();
        case Segment::graph: return t.graph_of_node.data();
        }
        return nullptr;
    }
    static const std::int32_t* of_row(const DeviceRun<T>& r, Segment kind) {
        const kernels::TopologyView& t = r.batch->topology;
        switch (kind) {
        case Segment::receiver: return t.receiver;
        case Segment::sender: return t.sender;
        case Segment::graph: return t.graph_of_node;
        }
        return nullptr;
    }
};

Value spread(Builder& b, Value rows, Segment kind, bool mean);

// out[segment] = sum (or mean) of the rows that belong to it.
class SegmentSum : public OpOf<SegmentSum> {
public:
    SegmentSum(Segment kind, bool mean) : kind_(kind), mean_(mean) {}
    [[nodiscard]] std::string_view name() const override { return mean_ ? "segment_mean" : "segment_sum"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index columns = wide_columns<T>(r.outputs[0]);
        const auto s = Segments<T>::of(r, kind_);
        if (r.sums_tiles) {
            add_tile(r, s.begin);
            return;
        }
        const Index tile = first_item(r, r.outputs[0]);
        for (Index i = 0; i < wide_rows<T>(r.outputs[0]); ++i) {
            T* __restrict__ to = r.out(0) + i * columns;
            const std::int32_t first = s.begin[tile + i];
            const std::int32_t last = s.begin[tile + i + 1];
            if (first == last) {
                std::fill(to, to + columns, T(0));
                continue;
            }
            const auto row = [&](std::int32_t k) {
                return r.in(0) + (s.order == nullptr ? k : s.order[k]) * columns;
            };
            std::copy_n(row(first), columns, to);
            for (std::int32_t k = first + 1; k < last; ++k) {
                const T* __restrict__ from = row(k);
                for (Index c = 0; c < columns; ++c) {
                    to[c] += from[c];
                }
            }
            if (mean_) {
                const T factor = T(1) / static_cast<T>(last - first);
                for (Index c = 0; c < columns; ++c) {
                    to[c] *= factor;
                }
            }
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        const auto s = Segments<T>::of(r, kind_);
        const auto& out = r.output(0);
        wide_numbers(r, out,
                     kernels::SegmentSumNumbers<T>{r.in(0), s.begin, s.order, mean_, r.out(0),
                                                   out.columns * out.extent.times});
    }
    void reverse(Reverse& r) const override { r.add(0, spread(r.builder(), r.gradient(0), kind_, mean_)); }
    [[nodiscard]] double flop(const Run<float>& r) const override {
        return static_cast<double>(r.in_rows(0) * r.in_columns(0));
    }
    // Rows that are contiguous in their segments can come a tile at a time.
    [[nodiscard]] bool sums_tiles() const override { return kind_ != Segment::sender && !mean_; }

private:
    // The same additions in the same order as for whole segments.
    template <class T>
    void add_tile(Run<T>& r, const std::int32_t* begin) const {
        const Index columns = wide_columns<T>(r.outputs[0]);
        const Index tile = first_item(r, r.inputs[0]);
        if (r.tile.lane == 0 && r.tile.begins) {
            for (Index i = 0; i < wide_rows<T>(r.outputs[0]); ++i) {
                if (begin[i] == begin[i + 1]) {
                    std::fill_n(r.out(0) + i * columns, columns, T(0));
                }
            }
        }
        const std::int32_t* segment = Segments<T>::of_row(r, kind_) + tile;
        for (Index k = 0; k < wide_rows<T>(r.inputs[0]); ++k) {
            const T* __restrict__ from = r.in(0) + k * columns;
            T* __restrict__ to = r.out(0) + segment[k] * columns;
            if (begin[segment[k]] == tile + k) {
                std::copy_n(from, columns, to);
                continue;
            }
            for (Index c = 0; c < columns; ++c) {
                to[c] += from[c];
            }
        }
    }

    Segment kind_;
    bool mean_;
};

// Each row gets its segment's row (divided by the segment's size for the reverse of a mean).
class Spread : public OpOf<Spread> {
public:
    Spread(Segment kind, bool mean) : kind_(kind), mean_(mean) {}
    [[nodiscard]] std::string_view name() const override { return "spread"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index columns = wide_columns<T>(r.outputs[0]);
        const auto s = Segments<T>::of(r, kind_);
        const std::int32_t* segment = Segments<T>::of_row(r, kind_) + first_item(r, r.outputs[0]);
        for (Index k = 0; k < wide_rows<T>(r.outputs[0]); ++k) {
            const std::int32_t i = segment[k];
            const T* __restrict__ from = r.in(0) + i * columns;
            const T factor = mean_ ? T(1) / static_cast<T>(std::max(1, s.begin[i + 1] - s.begin[i])) : T(1);
            T* __restrict__ to = r.out(0) + k * columns;
            for (Index c = 0; c < columns; ++c) {
                to[c] = from[c] * factor;
            }
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        const auto& out = r.output(0);
        wide_numbers(r, out,
                     kernels::SpreadNumbers<T>{r.in(0), Segments<T>::of_row(r, kind_),
                                               Segments<T>::of(r, kind_).begin, mean_, r.out(0),
                                               out.columns * out.extent.times});
    }
    void reverse(Reverse& r) const override {
        Builder& b = r.builder();
        r.add(0, b.append(std::make_shared<SegmentSum>(kind_, mean_), {r.gradient(0)}, b.info(r.in(0)).extent,
                          b.info(r.in(0)).columns));
    }

private:
    Segment kind_;
    bool mean_;
};

Value spread(Builder& b, Value rows, Segment kind, bool mean) {
    const Extent from = b.info(rows).extent;
    check(from.axis == (kind == Segment::graph ? Axis::graph : Axis::node), "spread: rows of the wrong axis");
    const Extent to{kind == Segment::graph ? Axis::node : Axis::edge, from.times};
    return b.append(std::make_shared<Spread>(kind, mean), {rows}, to, b.info(rows).columns);
}

Value segment_sum(Builder& b, Value rows, Segment kind, bool mean) {
    const Extent from = b.info(rows).extent;
    check(from.axis == (kind == Segment::graph ? Axis::node : Axis::edge),
          "segment_sum: rows of the wrong axis");
    const Extent to{kind == Segment::graph ? Axis::graph : Axis::node, from.times};
    return b.append(std::make_shared<SegmentSum>(kind, mean), {rows}, to, b.info(rows).columns);
}

class GatherOp : public OpOf<GatherOp> {
public:
    explicit GatherOp(const Gather& g)
        : receiver_(g.at_receiver), sender_(g.at_sender), edge_(g.on_edge), r_(g.receiver_factor),
          s_(g.sender_factor) {}
    [[nodiscard]] std::string_view name() const override { return "gather"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index columns = wide_columns<T>(r.outputs[0]);
        const Topology& t = r.batch->topology;
        const T fr = static_cast<T>(r_);
        const T fs = static_cast<T>(s_);
        int next = 0;
        const T* receivers = receiver_ ? r.in(next++) : nullptr;
        const T* senders = sender_ ? r.in(next++) : nullptr;
        const T* edges = edge_ ? r.in(next) : nullptr;
        const Index tile = first_item(r, r.outputs[0]);
        for (Index e = 0; e < wide_rows<T>(r.outputs[0]); ++e) {
            T* __restrict__ to = r.out(0) + e * columns;
            const auto i = static_cast<std::size_t>(tile + e);
            if (receivers != nullptr && senders != nullptr) {
                const T* __restrict__ x = receivers + t.receiver[i] * columns;
                const T* __restrict__ y = senders + t.sender[i] * columns;
                for (Index c = 0; c < columns; ++c) {
                    to[c] = fr * x[c] + fs * y[c];
                }
            } else {
                const T* __restrict__ x = receivers != nullptr ? receivers + t.receiver[i] * columns
                                                               : senders + t.sender[i] * columns;
                const T f = receivers != nullptr ? fr : fs;
                for (Index c = 0; c < columns; ++c) {
                    to[c] = f * x[c];
                }
            }
            if (edges != nullptr) {
                const T* __restrict__ z = edges + e * columns;
                for (Index c = 0; c < columns; ++c) {
                    to[c] += z[c];
                }
            }
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        const kernels::TopologyView& t = r.batch->topology;
        const auto& out = r.output(0);
        int next = 0;
        const T* receivers = receiver_ ? r.in(next++) : nullptr;
        const T* senders = sender_ ? r.in(next++) : nullptr;
        const T* edges = edge_ ? r.in(next) : nullptr;
        wide_numbers(r, out,
                     kernels::GatherNumbers<T>{receivers, senders, edges, t.receiver, t.sender,
                                               static_cast<T>(r_), static_cast<T>(s_), r.out(0),
                                               out.columns * out.extent.times});
    }
    void reverse(Reverse& r) const override {
        Builder& b = r.builder();
        const Value dz = r.gradient(0);
        int next = 0;
        if (receiver_) {
            if (r.wants(next)) {
                const Value d = sum_at_receiver(b, dz);
                r.add(next, r_ == 1 ? d : scale(b, d, r_));
            }
            ++next;
        }
        if (sender_) {
            if (r.wants(next)) {
                const Value d = sum_at_sender(b, dz);
                r.add(next, s_ == 1 ? d : scale(b, d, s_));
            }
            ++next;
        }
        if (edge_ && r.wants(next)) {
            r.add(next, dz);
        }
    }
    [[nodiscard]] double flop(const Run<float>& r) const override {
        return 2.0 * static_cast<double>(r.out_rows(0) * r.out_columns(0));
    }

private:
    bool receiver_, sender_, edge_;
    double r_, s_;
};

} // namespace

Value gather(Builder& b, const Gather& g) {
    std::vector<Value> in;
    for (const auto& part : {g.at_receiver, g.at_sender, g.on_edge}) {
        if (part) {
            in.push_back(*part);
            check(b.info(*part).columns == b.info(in.front()).columns, "gather: parts of different width");
        }
    }
    check(g.at_receiver || g.at_sender, "gather: nothing to gather");
    const Index times = b.info(in.front()).extent.times;
    const Extent nodes{Axis::node, times};
    check(!g.at_receiver || b.info(*g.at_receiver).extent == nodes, "gather: node rows expected");
    check(!g.at_sender || b.info(*g.at_sender).extent == nodes, "gather: node rows expected");
    const Extent edges{Axis::edge, times};
    check(!g.on_edge || b.info(*g.on_edge).extent == edges, "gather: edge rows expected");
    const Index columns = b.info(in.front()).columns;
    const Value sum = b.append(std::make_shared<GatherOp>(g), std::move(in), edges, columns);
    return g.activation == Activation::none ? sum : activation(b, sum, g.activation);
}

Value at_receiver(Builder& b, Value node_rows) { return gather(b, {.at_receiver = node_rows}); }
Value at_sender(Builder& b, Value node_rows) { return gather(b, {.at_sender = node_rows}); }
Value sum_at_receiver(Builder& b, Value edge_rows) {
    return segment_sum(b, edge_rows, Segment::receiver, false);
}
Value sum_at_sender(Builder& b, Value edge_rows) { return segment_sum(b, edge_rows, Segment::sender, false); }
Value mean_at_receiver(Builder& b, Value edge_rows) {
    return segment_sum(b, edge_rows, Segment::receiver, true);
}
Value sum_over_graph(Builder& b, Value node_rows) { return segment_sum(b, node_rows, Segment::graph, false); }
Value mean_over_graph(Builder& b, Value node_rows) { return segment_sum(b, node_rows, Segment::graph, true); }
Value to_nodes(Builder& b, Value graph_rows) { return spread(b, graph_rows, Segment::graph, false); }

} // namespace tether::ops
