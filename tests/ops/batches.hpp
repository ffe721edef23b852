// Small batches for tests of operations and networks: graphs in lanes, and the part of a batch that
// some of its lanes are. Edges are listed in any order and sorted by receiver here.
#pragma once

#include "tether/program/batch.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace tether::test {

struct Graph {
    Index nodes = 0;
    std::vector<std::pair<int, int>> edges = {}; // sender, receiver
};

struct Batch {
    std::string name;
    std::vector<std::vector<Graph>> lanes;

    // Rows of all lanes before `lane` on an axis.
    [[nodiscard]] Index rows_before(Axis axis, std::size_t lane) const {
        Index total = 0;
        for (std::size_t l = 0; l < lane; ++l) {
            total += axis == Axis::graph ? static_cast<Index>(lanes[l].size()) : 0;
            for (const Graph& g : lanes[l]) {
                total += axis == Axis::node ? g.nodes : 0;
                total += axis == Axis::edge ? static_cast<Index>(g.edges.size()) : 0;
            }
        }
        return axis == Axis::one ? 0 : total;
    }
    [[nodiscard]] Index rows(Axis axis) const {
        return axis == Axis::one ? 1 : rows_before(axis, lanes.size());
    }
};

inline Graph complete_graph(int nodes) {
    Graph g{nodes};
    for (int i = 0; i < nodes; ++i) {
        for (int j = 0; j < nodes; ++j) {
            if (i != j) {
                g.edges.emplace_back(j, i);
            }
        }
    }
    return g;
}

// Everything that has gone wrong somewhere: single rows, nodes without edges (the last one among
// them), graphs without nodes, lanes without graphs, more rows than any block of a loop holds.
inline std::vector<Batch> test_batches() {
    const Graph lonely{1};
    const Graph isolated{4, {{2, 0}, {0, 2}, {0, 0}, {1, 2}}}; // a loop; nodes 1 and 3 receive nothing
    const Graph star{5, {{1, 0}, {2, 0}, {3, 0}, {4, 0}, {0, 1}}};
    std::vector<Batch> all;
    all.push_back({"one node", {{lonely}}});
    all.push_back({"one edge", {{{2, {{0, 1}}}}}});
    all.push_back(
        {"irregular",
         {{complete_graph(3), isolated}, {star}, {lonely, {0}, star}, {complete_graph(2), isolated}}});
    all.push_back({"empty lanes", {{star, complete_graph(4)}, {}, {isolated}, {}}});
    Batch many{"many rows", {{}, {}, {}, {}}};
    for (int g = 0; g < 37; ++g) {
        many.lanes[static_cast<std::size_t>(g * g % 4)].push_back(g % 5 == 0 ? isolated
                                                                             : complete_graph(3 + g % 3));
    }
    all.push_back(std::move(many));
    return all;
}

// Lanes [first, last) as one part; fields are filled by the caller.
template <class T>
BatchPart<T> make_part(const Batch& batch, std::size_t first, std::size_t last) {
    BatchPart<T> part;
    part.lanes = static_cast<Index>(last - first);
    for (auto& begin : part.lane_begin) {
        begin.assign(1, 0);
    }
    Topology& t = part.topology;
    t.node_begin.assign(1, 0);
    std::vector<std::pair<int, int>> edges; // receiver, sender
    int nodes = 0;
    int graphs = 0;
    for (std::size_t l = first; l < last; ++l) {
        for (const Graph& g : batch.lanes[l]) {
            std::vector<std::pair<int, int>> own;
            for (const auto& [sender, receiver] : g.edges) {
                own.emplace_back(nodes + receiver, nodes + sender);
            }
            std::ranges::stable_sort(own);
            edges.insert(edges.end(), own.begin(), own.end());
            t.graph_of_node.insert(t.graph_of_node.end(), static_cast<std::size_t>(g.nodes), graphs);
            nodes += static_cast<int>(g.nodes);
            ++graphs;
            t.node_begin.push_back(nodes);
        }
        part.lane_begin[0].push_back(static_cast<Index>(l - first) + 1);
        part.lane_begin[1].push_back(graphs);
        part.lane_begin[2].push_back(nodes);
        part.lane_begin[3].push_back(static_cast<Index>(edges.size()));
    }
    t.receiver_begin.assign(static_cast<std::size_t>(nodes) + 1, 0);
    t.sender_begin.assign(static_cast<std::size_t>(nodes) + 1, 0);
    for (const auto& [receiver, sender] : edges) {
        t.receiver.push_back(receiver);
        t.sender.push_back(sender);
        for (std::size_t i = static_cast<std::size_t>(receiver) + 1; i < t.receiver_begin.size(); ++i) {
            ++t.receiver_begin[i];
        }
    }
    for (int i = 0; i < nodes; ++i) {
        for (std::size_t e = 0; e < edges.size(); ++e) {
            if (edges[e].second == i) {
                t.by_sender.push_back(static_cast<std::int32_t>(e));
            }
        }
        t.sender_begin[static_cast<std::size_t>(i) + 1] = static_cast<std::int32_t>(t.by_sender.size());
    }
    return part;
}

} // namespace tether::test
