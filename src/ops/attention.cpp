#include "tether/ops/attention.hpp"

#include "tether/core/error.hpp"

#include <memory>

namespace tether::ops {
namespace {

using kernels::AttentionShape;

// Calls f(first row, last row) for every graph of the part.
template <class T, class F>
void for_each_graph(const Run<T>& r, F&& f) {
    const Topology& t = r.batch->topology;
    for (std::size_t g = 0; g + 1 < t.node_begin.size(); ++g) {
        f(Index{t.node_begin[g]}, Index{t.node_begin[g + 1]});
    }
}

// Pairs of nodes of one graph, itself included.
double pairs(const Run<float>& r) {
    double sum = 0;
    for_each_graph(
        r, [&](Index first, Index last) { sum += static_cast<double>((last - first) * (last - first)); });
    return sum;
}

// Inputs x, y, dy, l; output dx.
class AttentionBackward : public OpOf<AttentionBackward> {
public:
    explicit AttentionBackward(const AttentionShape& shape) : shape_(shape) {}
    [[nodiscard]] std::string_view name() const override { return "attention_backward"; }
    template <class T>
    void execute(Run<T>& r) const {
        const kernels::AttentionRows<T> rows{r.in(0), r.in(1), r.in(2), r.in(3)};
        for_each_graph(r, [&](Index first, Index last) {
            for (Index i = first; i < last; ++i) {
                T* dx = r.out(0) + i * shape_.columns();
                for (Index head = 0; head < shape_.heads; ++head) {
                    kernels::attend_backward_query(shape_, rows, first, last, i, head,
                                                   dx + shape_.query(head));
                }
                for (Index head = 0; head < shape_.key_heads; ++head) {
                    kernels::attend_backward_key(shape_, rows, first, last, i, head, dx + shape_.key(head),
                                                 dx + shape_.value(head));
                }
            }
        });
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        const kernels::TopologyView& t = r.batch->topology;
        r.wide_numbers(
            r.output(0).extent, r.output(0).capacity, shape_.heads + shape_.key_heads,
            kernels::AttendBackwardHead<T>{
                shape_, {t.graph_of_node, t.node_begin}, {r.in(0), r.in(1), r.in(2), r.in(3)}, r.out(0)});
    }
    [[nodiscard]] double flop(const Run<float>& r) const override {
        return 16 * pairs(r) * static_cast<double>(shape_.out_columns()); // 8 products of a channel
    }

private:
    AttentionShape shape_;
};

// Input x; outputs y, l.
class Attention : public OpOf<Attention> {
public:
    explicit Attention(const AttentionShape& shape) : shape_(shape) {}
    [[nodiscard]] std::string_view name() const override { return "attention"; }
    template <class T>
    void execute(Run<T>& r) const {
        for_each_graph(r, [&](Index first, Index last) {
            for (Index i = first; i < last; ++i) {
                for (Index head = 0; head < shape_.heads; ++head) {
                    const T l = kernels::attend(shape_, r.in(0), first, last, i, head,
                                                r.out(0) + i * shape_.out_columns() + shape_.query(head));
                    if (r.has_out(1)) {
                        r.out(1)[i * shape_.heads + head] = l;
                    }
                }
            }
        });
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        const kernels::TopologyView& t = r.batch->topology;
        r.wide_numbers(r.output(0).extent, r.output(0).capacity, shape_.heads,
                       kernels::AttendHead<T>{shape_,
                                              {t.graph_of_node, t.node_begin},
                                              r.in(0),
                                              r.out(0),
                                              r.has_out(1) ? r.out(1) : nullptr});
    }
    void reverse(Reverse& r) const override {
        Builder& b = r.builder();
        const ValueInfo x = b.info(r.in(0));
        r.add(0, b.append(std::make_shared<AttentionBackward>(shape_),
                          {r.in(0), r.out(0), r.gradient(0), r.out(1)}, x.extent, x.columns));
    }
    [[nodiscard]] double flop(const Run<float>& r) const override {
        return 4 * pairs(r) * static_cast<double>(shape_.out_columns());
    }

private:
    AttentionShape shape_;
};

} // namespace

Value attention(Builder& b, Value x, const AttentionShape& shape) {
    check(
        shape.heads >= 1 && shape.channels >= 1 && (shape.key_heads == 1 || shape.key_heads == shape.heads),
        "attention: {} heads of {} channels with {} heads of keys, expected 1 or as many key heads as heads",
        shape.heads, shape.channels, shape.key_heads);
    check(b.info(x).extent == Extent{Axis::node, 1}, "attention: node rows expected");
    check(b.info(x).columns == shape.columns(),
          "attention: {} columns, expected {} ({} heads of {} channels, {} for keys)", b.info(x).columns,
          shape.columns(), shape.heads, shape.channels, shape.key_heads);
    return b
        .append_all(std::make_shared<Attention>(shape), {x},
                    {{{Axis::node, 1}, shape.out_columns()}, {{Axis::node, 1}, shape.heads}})
        .front();
}

} // namespace tether::ops
