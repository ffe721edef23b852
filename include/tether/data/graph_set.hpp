// A data set of graphs held in memory: topology, named fields, splits, where it comes from.
// Invariants after finish(): edges of a graph are sorted by receiver, then sender; every index is
// in range; every number of every field is finite; sha256 is that of the content.
#pragma once

#include "tether/core/types.hpp"
#include "tether/program/batch.hpp"
#include "tether/symmetry/groups.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tether::data {

// out_of_distribution: a second test part drawn from another law, empty in most data sets.
enum class Split : std::uint8_t { train, validation, test, out_of_distribution };
inline constexpr int split_count = 4;

// One quantity of every row of an axis; row-major [rows of all graphs x width].
struct Field {
    std::string name;
    Axis axis = Axis::node; // graph, node or edge
    Index width = 1;
    std::string units;
    std::vector<double> values;
    // Networks get it divided by its largest value in the whole global batch they see it in.
    bool over_batch_maximum = false;
    std::vector<double> maximum = {}; // of every graph, if so (finish)
};

class GraphSet {
public:
    // Filled by a reader, then finish().
    std::vector<Index> node_begin{0}, edge_begin{0}; // [graphs + 1]
    std::vector<std::int32_t> sender, receiver;      // [edges], numbered within their graph
    std::vector<Field> fields;
    std::array<std::vector<Index>, split_count> split; // sample numbers
    std::string name, source, licence;
    std::string path;       // file it was read from, for messages
    symmetry::Group group;  // that the law behind the data is symmetric under
    std::int64_t seed = -1; // of the generator; -1: unknown or none

    // Computed by finish().
    std::string sha256;                       // 64 hex digits
    std::vector<std::int32_t> by_sender;      // [edges]: edges of the graph ordered by sender
    std::vector<std::int32_t> receiver_begin; // [nodes]: first edge of the receiver in its graph
    std::vector<std::int32_t> sender_begin;   // [nodes]: first place of the sender in by_sender

    // Sorts edges (edge fields with them), checks, computes. Throws Error(data) naming path, field,
    // sample, row and what was expected.
    void finish();

    [[nodiscard]] Index graphs() const { return static_cast<Index>(node_begin.size()) - 1; }
    [[nodiscard]] Index nodes() const { return node_begin.back(); }
    [[nodiscard]] Index edges() const { return edge_begin.back(); }
    [[nodiscard]] Index nodes(Index sample) const {
        return node_begin[static_cast<std::size_t>(sample) + 1] -
               node_begin[static_cast<std::size_t>(sample)];
    }
    [[nodiscard]] Index edges(Index sample) const {
        return edge_begin[static_cast<std::size_t>(sample) + 1] -
               edge_begin[static_cast<std::size_t>(sample)];
    }
    [[nodiscard]] Index rows(Axis axis) const; // of all graphs together
    [[nodiscard]] const std::vector<Index>& samples(Split which) const {
        return split[static_cast<std::size_t>(which)];
    }

    // Throws Error(data) with the nearest known name.
    [[nodiscard]] int field_number(const std::string& field_name) const;
    [[nodiscard]] std::vector<int> field_numbers(std::span<const std::string> names) const;
    [[nodiscard]] const Field& field(const std::string& field_name) const {
        return fields[static_cast<std::size_t>(field_number(field_name))];
    }

    // Appends a graph. Edges are given by add_edge for the last graph added.
    void add_graph(Index node_count);
    void add_edge(std::int32_t from, std::int32_t to);
    void connect_all(); // every ordered pair of different nodes of the last graph

private:
    void check_shapes() const;
    void check_finite() const;
    void sort_edges();
    void index_edges();
    void find_maxima();
    [[nodiscard]] std::string checksum() const;
};

[[nodiscard]] const char* split_name(Split which);

} // namespace tether::data
