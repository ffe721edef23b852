// Between nodes, edges and graphs. Sums run over the edges of a node in one fixed order (ascending
// edge number), so no result depends on how nodes are distributed.
#pragma once

#include "tether/kernels/activation.hpp"
#include "tether/program/builder.hpp"

#include <optional>

namespace tether::ops {

Value at_receiver(Builder& b, Value node_rows); // x[receiver(e)]
Value at_sender(Builder& b, Value node_rows);   // x[sender(e)]

// act( r · at_receiver[receiver(e)] + s · at_sender[sender(e)] (+ on_edge[e]) ), r and s constants.
struct Gather {
    std::optional<Value> at_receiver = {}, at_sender = {}, on_edge = {};
    double receiver_factor = 1, sender_factor = 1;
    Activation activation = Activation::none;
};
Value gather(Builder& b, const Gather& g);

Value sum_at_receiver(Builder& b, Value edge_rows);  // sum over incoming edges
Value sum_at_sender(Builder& b, Value edge_rows);    // sum over outgoing edges
Value mean_at_receiver(Builder& b, Value edge_rows); // divided by max(1, number of incoming edges)

Value sum_over_graph(Builder& b, Value node_rows);  // [graphs x columns]
Value mean_over_graph(Builder& b, Value node_rows); // divided by max(1, nodes of the graph)
Value to_nodes(Builder& b, Value graph_rows);       // each node gets its graph's row

// The rows of a graph's nodes side by side, zeros after the last one: [graphs x most · columns]. A
// graph of more than `most` nodes is an error when it is met. And back: node k of a graph gets columns
// [k · columns, (k + 1) · columns) of its graph's row.
Value nodes_side_by_side(Builder& b, Value node_rows, Index most);
Value split_to_nodes(Builder& b, Value graph_rows, Index columns);

} // namespace tether::ops
