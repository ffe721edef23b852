// See collate.hpp. Per-graph orders come precomputed from the set; here they are only shifted.
#include "tether/data/collate.hpp"

#include "tether/core/error.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tether::data {
namespace {

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

std::vector<Index>& begin_of(auto& part, Axis axis) {
    return part.lane_begin[static_cast<std::size_t>(axis)];
}

void shifted(const std::int32_t* from, Index count, std::int32_t by, std::int32_t* to) {
    for (Index i = 0; i < count; ++i) {
        to[i] = from[i] + by;
    }
}

// Rows of every lane; returns the part's samples within the batch.
template <class T>
SampleRange count_rows(const GraphSet& set, std::span<const Index> samples, Index lanes_total,
                       Index lane_first, Index lane_count, BatchPart<T>& part) {
    const Index batch = std::ssize(samples);
    part.lanes = lane_count;
    for (std::vector<Index>& begin : part.lane_begin) {
        begin.resize(at(lane_count) + 1);
        begin[0] = 0;
    }
    Index nodes = 0;
    Index edges = 0;
    const Index first = lane_samples(batch, lanes_total, lane_first).first;
    Index last = first;
    for (Index l = 0; l < lane_count; ++l) {
        const Index end = lane_samples(batch, lanes_total, lane_first + l).last;
        for (; last < end; ++last) {
            const Index sample = samples[at(last)];
            check(sample >= 0 && sample < set.graphs(),
                  "data set '{}' has {} samples; the batch names sample {}", set.name, set.graphs(), sample);
            nodes += set.nodes(sample);
            edges += set.edges(sample);
        }
        begin_of(part, Axis::one)[at(l) + 1] = l + 1;
        begin_of(part, Axis::graph)[at(l) + 1] = last - first;
        begin_of(part, Axis::node)[at(l) + 1] = nodes;
        begin_of(part, Axis::edge)[at(l) + 1] = edges;
    }
    constexpr Index most = std::numeric_limits<std::int32_t>::max();
    check(nodes < most && edges < most, "a batch part of {} nodes and {} edges is too large to be numbered",
          nodes, edges);
    return {first, last};
}

template <class T>
void copy_topology(const GraphSet& set, std::span<const Index> samples, BatchPart<T>& part) {
    Topology& to = part.topology;
    const std::size_t nodes = at(part.rows(Axis::node));
    const std::size_t edges = at(part.rows(Axis::edge));
    to.sender.resize(edges);
    to.receiver.resize(edges);
    to.by_sender.resize(edges);
    to.receiver_begin.resize(nodes + 1);
    to.sender_begin.resize(nodes + 1);
    to.graph_of_node.resize(nodes);
    to.node_begin.resize(samples.size() + 1);
    std::int32_t node = 0;
    std::int32_t edge = 0;
    for (std::size_t g = 0; g < samples.size(); ++g) {
        const Index n = set.nodes(samples[g]);
        const Index m = set.edges(samples[g]);
        const Index from_node = set.node_begin[at(samples[g])];
        const Index from_edge = set.edge_begin[at(samples[g])];
        shifted(set.sender.data() + from_edge, m, node, to.sender.data() + edge);
        shifted(set.receiver.data() + from_edge, m, node, to.receiver.data() + edge);
        shifted(set.by_sender.data() + from_edge, m, edge, to.by_sender.data() + edge);
        shifted(set.receiver_begin.data() + from_node, n, edge, to.receiver_begin.data() + node);
        shifted(set.sender_begin.data() + from_node, n, edge, to.sender_begin.data() + node);
        std::fill_n(to.graph_of_node.begin() + node, n, static_cast<std::int32_t>(g));
        to.node_begin[g] = node;
        node += static_cast<std::int32_t>(n);
        edge += static_cast<std::int32_t>(m);
    }
    to.node_begin[samples.size()] = node;
    to.receiver_begin[nodes] = edge;
    to.sender_begin[nodes] = edge;
}

// What the field is divided by in this batch.
double divisor(const Field& field, std::span<const Index> whole_batch) {
    double most = -std::numeric_limits<double>::infinity();
    if (field.over_batch_maximum) {
        for (const Index sample : whole_batch) {
            most = std::max(most, field.maximum[at(sample)]);
        }
    }
    return std::isfinite(most) && most != 0 ? most : 1;
}

template <class T>
void copy_field(const GraphSet& set, const Field& field, std::span<const Index> whole_batch,
                std::span<const Index> samples, Index rows, std::vector<T>& out) {
    const double by = divisor(field, whole_batch);
    out.resize(at(rows * field.width));
    T* to = out.data();
    for (const Index sample : samples) {
        Index first = sample;
        Index count = 1;
        if (field.axis != Axis::graph) {
            const std::vector<Index>& begin = field.axis == Axis::node ? set.node_begin : set.edge_begin;
            first = begin[at(sample)];
            count = begin[at(sample) + 1] - first;
        }
        const double* from = field.values.data() + first * field.width;
        const Index values = count * field.width;
        for (Index i = 0; i < values; ++i) {
            to[i] = static_cast<T>(from[i] / by); // by 1: exact
        }
        to += values;
    }
}

} // namespace

template <class T>
void collate(const GraphSet& set, std::span<const int> fields, std::span<const Index> samples,
             Index lanes_total, Index lane_first, Index lane_count, BatchPart<T>& part) {
    check(lanes_total > 0 && lane_first >= 0 && lane_count >= 0 && lane_first + lane_count <= lanes_total,
          "lanes {} to {} of {} were asked for", lane_first, lane_first + lane_count, lanes_total);
    const SampleRange range = count_rows(set, samples, lanes_total, lane_first, lane_count, part);
    const auto mine = samples.subspan(at(range.first), at(range.last - range.first));
    part.sample.assign(mine.begin(), mine.end());
    copy_topology(set, mine, part);
    part.field.resize(fields.size());
    for (std::size_t i = 0; i < fields.size(); ++i) {
        if (fields[i] < 0) {
            continue;
        }
        const Field& field = set.fields.at(static_cast<std::size_t>(fields[i]));
        copy_field(set, field, samples, mine, part.rows(field.axis), part.field[i]);
    }
}

template void collate<float>(const GraphSet&, std::span<const int>, std::span<const Index>, Index, Index,
                             Index, BatchPart<float>&);
template void collate<double>(const GraphSet&, std::span<const int>, std::span<const Index>, Index, Index,
                              Index, BatchPart<double>&);

} // namespace tether::data
