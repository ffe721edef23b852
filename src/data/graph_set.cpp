// Checks, edge order and checksum of a data set of graphs.
#include "tether/data/graph_set.hpp"

#include "tether/core/error.hpp"
#include "tether/core/sha256.hpp"
#include "tether/core/text.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace tether::data {
namespace {

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

const std::vector<Index>* offsets(const GraphSet& set, Axis axis) {
    return axis == Axis::node ? &set.node_begin : axis == Axis::edge ? &set.edge_begin : nullptr;
}

const char* axis_name(Axis axis) {
    switch (axis) {
    case Axis::one: return "one";
    case Axis::graph: return "graph";
    case Axis::node: return "node";
    case Axis::edge: return "edge";
    }
    return "";
}

template <class T>
void add(Sha256& sum, const std::vector<T>& values) {
    const auto count = static_cast<std::uint64_t>(values.size());
    sum.add(&count, sizeof count);
    sum.add(values.data(), values.size() * sizeof(T));
}

} // namespace

const char* split_name(Split which) {
    switch (which) {
    case Split::train: return "train";
    case Split::validation: return "validation";
    case Split::test: return "test";
    case Split::out_of_distribution: return "out-of-distribution";
    }
    return "";
}

Index GraphSet::rows(Axis axis) const {
    switch (axis) {
    case Axis::one: return 1;
    case Axis::graph: return graphs();
    case Axis::node: return nodes();
    case Axis::edge: return edges();
    }
    return 0;
}

int GraphSet::field_number(const std::string& field_name) const {
    std::vector<std::string> known;
    for (std::size_t i = 0; i < fields.size(); ++i) {
        if (fields[i].name == field_name) {
            return static_cast<int>(i);
        }
        known.push_back(fields[i].name);
    }
    fail(ExitCode::data, "{}: data set '{}' has no field '{}'{}", path, name, field_name,
         hint(field_name, known));
}

std::vector<int> GraphSet::field_numbers(std::span<const std::string> names) const {
    std::vector<int> numbers;
    numbers.reserve(names.size());
    for (const std::string& wanted : names) {
        numbers.push_back(field_number(wanted));
    }
    return numbers;
}

void GraphSet::add_graph(Index node_count) {
    node_begin.push_back(node_begin.back() + node_count);
    edge_begin.push_back(edge_begin.back());
}

void GraphSet::add_edge(std::int32_t from, std::int32_t to) {
    sender.push_back(from);
    receiver.push_back(to);
    ++edge_begin.back();
}

void GraphSet::connect_all() {
    const auto n = static_cast<std::int32_t>(nodes(graphs() - 1));
    for (std::int32_t to = 0; to < n; ++to) {
        for (std::int32_t from = 0; from < n; ++from) {
            if (from != to) {
                add_edge(from, to);
            }
        }
    }
}

void GraphSet::finish() {
    check_shapes();
    check_finite();
    sort_edges();
    index_edges();
    find_maxima();
    sha256 = checksum();
}

void GraphSet::check_shapes() const {
    const auto data = [&](bool ok, const std::string& message) {
        check(ok, ExitCode::data, "{}: data set '{}': {}", path, name, message);
    };
    data(node_begin.size() == edge_begin.size() && !node_begin.empty() && node_begin[0] == 0 &&
             edge_begin[0] == 0,
         "node and edge offsets do not describe the same graphs");
    data(std::ranges::is_sorted(node_begin) && std::ranges::is_sorted(edge_begin),
         "offsets are not ascending");
    data(std::ssize(sender) == edges() && std::ssize(receiver) == edges(),
         fmt::format("{} senders and {} receivers for {} edges", sender.size(), receiver.size(), edges()));
    data(graphs() == 0 || nodes() > 0, "no graph has a node");
    for (Index g = 0; g < graphs(); ++g) {
        data(std::in_range<std::int32_t>(nodes(g)) && std::in_range<std::int32_t>(edges(g)),
             fmt::format("sample {} has more nodes or edges than can be numbered", g));
        for (Index e = edge_begin[at(g)]; e < edge_begin[at(g) + 1]; ++e) {
            data(sender[at(e)] >= 0 && sender[at(e)] < nodes(g) && receiver[at(e)] >= 0 &&
                     receiver[at(e)] < nodes(g),
                 fmt::format("sample {}, edge {}: joins {} to {}, but the sample has {} nodes", g,
                             e - edge_begin[at(g)], sender[at(e)], receiver[at(e)], nodes(g)));
        }
    }
    for (const Field& f : fields) {
        data(f.axis != Axis::one && f.width > 0, fmt::format("field '{}' has no axis or width", f.name));
        data(std::ssize(f.values) == rows(f.axis) * f.width,
             fmt::format("field '{}' has {} values; {} {} rows of {} were expected", f.name, f.values.size(),
                         rows(f.axis), axis_name(f.axis), f.width));
    }
    for (int s = 0; s < split_count; ++s) {
        for (const Index sample : split[at(s)]) {
            data(sample >= 0 && sample < graphs(),
                 fmt::format("split {} names sample {} of {}", split_name(static_cast<Split>(s)), sample,
                             graphs()));
        }
    }
}

void GraphSet::check_finite() const {
    for (const Field& f : fields) {
        const auto bad = std::ranges::find_if_not(f.values, [](double v) { return std::isfinite(v); });
        if (bad == f.values.end()) {
            continue;
        }
        const Index row = (bad - f.values.begin()) / f.width;
        const Index column = (bad - f.values.begin()) % f.width;
        const std::vector<Index>* begin = offsets(*this, f.axis);
        const Index sample =
            begin == nullptr ? row : std::ranges::upper_bound(*begin, row) - begin->begin() - 1;
        fail(ExitCode::data,
             "{}: field '{}', sample {}, {} {}, component {}: {}; finite numbers were expected", path, f.name,
             sample, axis_name(f.axis), begin == nullptr ? row : row - (*begin)[at(sample)], column, *bad);
    }
}

void GraphSet::sort_edges() {
    std::vector<Index> order(at(edges()));
    std::iota(order.begin(), order.end(), Index{0});
    for (Index g = 0; g < graphs(); ++g) {
        std::stable_sort(order.begin() + edge_begin[at(g)], order.begin() + edge_begin[at(g) + 1],
                         [&](Index a, Index b) {
                             return receiver[at(a)] != receiver[at(b)] ? receiver[at(a)] < receiver[at(b)]
                                                                       : sender[at(a)] < sender[at(b)];
                         });
    }
    if (std::ranges::is_sorted(order)) {
        return;
    }
    const auto permuted = [&](const auto& values, Index width) {
        auto out = values;
        for (std::size_t e = 0; e < order.size(); ++e) {
            std::copy_n(values.begin() + order[e] * width, width,
                        out.begin() + static_cast<Index>(e) * width);
        }
        return out;
    };
    sender = permuted(sender, 1);
    receiver = permuted(receiver, 1);
    for (Field& f : fields) {
        if (f.axis == Axis::edge) {
            f.values = permuted(f.values, f.width);
        }
    }
}

void GraphSet::index_edges() {
    by_sender.resize(at(edges()));
    receiver_begin.assign(at(nodes()), 0);
    sender_begin.assign(at(nodes()), 0);
    for (Index g = 0; g < graphs(); ++g) {
        const Index first = edge_begin[at(g)];
        const Index count = edges(g);
        const Index node = node_begin[at(g)];
        const auto order = std::span(by_sender).subspan(at(first), at(count));
        std::iota(order.begin(), order.end(), 0);
        std::ranges::stable_sort(order, {}, [&](std::int32_t e) { return sender[at(first + e)]; });
        Index in = 0;
        Index out = 0;
        for (Index i = 0; i < nodes(g); ++i) {
            receiver_begin[at(node + i)] = static_cast<std::int32_t>(in);
            sender_begin[at(node + i)] = static_cast<std::int32_t>(out);
            while (in < count && receiver[at(first + in)] == i) {
                ++in;
            }
            while (out < count && sender[at(first + order[at(out)])] == i) {
                ++out;
            }
        }
    }
}

void GraphSet::find_maxima() {
    for (Field& f : fields) {
        if (!f.over_batch_maximum) {
            continue;
        }
        const std::vector<Index>* begin = offsets(*this, f.axis);
        f.maximum.assign(at(graphs()), -std::numeric_limits<double>::infinity());
        for (Index g = 0; g < graphs(); ++g) {
            const Index first = begin == nullptr ? g : (*begin)[at(g)];
            const Index last = begin == nullptr ? g + 1 : (*begin)[at(g) + 1];
            for (Index i = first * f.width; i < last * f.width; ++i) {
                f.maximum[at(g)] = std::max(f.maximum[at(g)], f.values[at(i)]);
            }
        }
    }
}

std::string GraphSet::checksum() const {
    Sha256 sum;
    add(sum, node_begin);
    add(sum, edge_begin);
    add(sum, sender);
    add(sum, receiver);
    for (const Field& f : fields) {
        sum.add(fmt::format("{} {} {} {}\n", f.name, axis_name(f.axis), f.width, f.units));
        add(sum, f.values);
    }
    for (const std::vector<Index>& samples : split) {
        if (&samples != &split.back() || !samples.empty()) { // most data sets have no last part
            add(sum, samples);
        }
    }
    return sum.hex();
}

} // namespace tether::data
