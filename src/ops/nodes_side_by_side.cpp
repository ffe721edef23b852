// The nodes of a graph as parts of one row, and back: for networks that see a graph as one vector.
#include "tether/core/error.hpp"
#include "tether/kernels/graph.hpp"
#include "tether/ops/graph.hpp"

#include <algorithm>
#include <memory>

namespace tether::ops {
namespace {

// `most`: nodes that a graph row has room for.
void check_graphs(const Topology& t, Index most) {
    for (std::size_t g = 0; g + 1 < t.node_begin.size(); ++g) {
        const Index count = t.node_begin[g + 1] - t.node_begin[g];
        check(count <= most, "a graph has {} nodes, the network was made for at most {}", count, most);
    }
}

class SideBySide : public OpOf<SideBySide> {
public:
    explicit SideBySide(Index most) : most_(most) {}
    [[nodiscard]] std::string_view name() const override { return "nodes_side_by_side"; }
    template <class T>
    void execute(Run<T>& r) const {
        check_batch(r.batch->topology);
        const std::vector<std::int32_t>& begin = r.batch->topology.node_begin;
        const Index columns = r.in_columns(0);
        for (Index g = 0; g < r.out_rows(0); ++g) {
            const Index first = begin[static_cast<std::size_t>(g)];
            const Index count = begin[static_cast<std::size_t>(g) + 1] - first;
            T* to = r.out(0) + g * r.out_columns(0);
            std::copy_n(r.in(0) + first * columns, count * columns, to);
            std::fill(to + count * columns, to + most_ * columns, T(0));
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.numbers(r.output(0), kernels::SideBySideNumbers<T>{r.in(0), r.batch->topology.node_begin, r.out(0),
                                                             r.in_columns(0), r.out_columns(0)});
    }
    void check_batch(const Topology& t) const override { check_graphs(t, most_); }
    void reverse(Reverse& r) const override {
        Builder& b = r.builder();
        r.add(0, split_to_nodes(b, r.gradient(0), b.info(r.in(0)).columns));
    }

private:
    Index most_;
};

class SplitToNodes : public OpOf<SplitToNodes> {
public:
    explicit SplitToNodes(Index most) : most_(most) {}
    [[nodiscard]] std::string_view name() const override { return "split_to_nodes"; }
    template <class T>
    void execute(Run<T>& r) const {
        check_batch(r.batch->topology);
        const std::vector<std::int32_t>& begin = r.batch->topology.node_begin;
        const Index columns = r.out_columns(0);
        for (Index g = 0; g < r.in_rows(0); ++g) {
            const Index first = begin[static_cast<std::size_t>(g)];
            const Index count = begin[static_cast<std::size_t>(g) + 1] - first;
            std::copy_n(r.in(0) + g * r.in_columns(0), count * columns, r.out(0) + first * columns);
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.numbers(r.output(0), kernels::SplitToNodesNumbers<T>{r.in(0), r.batch->topology.graph_of_node,
                                                               r.batch->topology.node_begin, r.out(0),
                                                               r.in_columns(0), r.out_columns(0)});
    }
    void check_batch(const Topology& t) const override { check_graphs(t, most_); }
    void reverse(Reverse& r) const override {
        r.add(0, nodes_side_by_side(r.builder(), r.gradient(0), most_));
    }

private:
    Index most_;
};

} // namespace

Value nodes_side_by_side(Builder& b, Value node_rows, Index most) {
    check(b.info(node_rows).extent == Extent{Axis::node, 1}, "nodes_side_by_side: node rows expected");
    check(most >= 1, "nodes_side_by_side: room for {} nodes, expected 1 or more", most);
    return b.append(std::make_shared<SideBySide>(most), {node_rows}, {Axis::graph, 1},
                    most * b.info(node_rows).columns);
}

Value split_to_nodes(Builder& b, Value graph_rows, Index columns) {
    check(b.info(graph_rows).extent == Extent{Axis::graph, 1}, "split_to_nodes: graph rows expected");
    check(columns >= 1 && b.info(graph_rows).columns % columns == 0,
          "split_to_nodes: {} columns for parts of {}", b.info(graph_rows).columns, columns);
    return b.append(std::make_shared<SplitToNodes>(b.info(graph_rows).columns / columns), {graph_rows},
                    {Axis::node, 1}, columns);
}

} // namespace tether::ops
