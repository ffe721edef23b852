#include "tether/run/reference_file.hpp"

#include "tether/core/error.hpp"
#include "tether/models/registry.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <optional>

namespace tether::run {
namespace {

using nlohmann::json;

// What a flat JSON value is as a setting; lists and objects of other things are left out.
std::optional<SettingValue> setting(const json& value) {
    if (value.is_boolean()) {
        return value.get<bool>();
    }
    if (value.is_number_integer()) {
        return value.get<Index>();
    }
    if (value.is_number()) {
        return value.get<double>();
    }
    if (value.is_string()) {
        return value.get<std::string>();
    }
    return {};
}

// Edges sorted by receiver, then sender, then place in the file.
std::vector<Index> sorted_edges(const std::vector<Index>& edge_index, Index edges) {
    std::vector<Index> order(static_cast<std::size_t>(edges));
    std::iota(order.begin(), order.end(), Index{0});
    std::ranges::stable_sort(order, [&](Index a, Index b) {
        const auto key = [&](Index e) {
            return std::pair(edge_index[static_cast<std::size_t>(edges + e)],
                             edge_index[static_cast<std::size_t>(e)]);
        };
        return key(a) < key(b);
    });
    return order;
}

void build_topology(Topology& t, const std::vector<Index>& sender, const std::vector<Index>& receiver,
                    Index nodes) {
    t = {};
    t.sender.assign(sender.begin(), sender.end());
    t.receiver.assign(receiver.begin(), receiver.end());
    t.receiver_begin.assign(static_cast<std::size_t>(nodes) + 1, 0);
    t.sender_begin.assign(static_cast<std::size_t>(nodes) + 1, 0);
    for (std::size_t e = 0; e < sender.size(); ++e) {
        ++t.receiver_begin[static_cast<std::size_t>(receiver[e]) + 1];
        ++t.sender_begin[static_cast<std::size_t>(sender[e]) + 1];
    }
    std::partial_sum(t.receiver_begin.begin(), t.receiver_begin.end(), t.receiver_begin.begin());
    std::partial_sum(t.sender_begin.begin(), t.sender_begin.end(), t.sender_begin.begin());
    t.by_sender.resize(sender.size());
    std::vector<std::int32_t> next(t.sender_begin.begin(), t.sender_begin.end() - 1);
    for (std::size_t e = 0; e < sender.size(); ++e) {
        t.by_sender[static_cast<std::size_t>(next[static_cast<std::size_t>(sender[e])]++)] =
            static_cast<std::int32_t>(e);
    }
}

// The counter's bits as the parity files mix them (written out in /weight_formula, attribute definition).
std::uint32_t hashed(std::uint32_t k) {
    std::uint32_t h = k * 2654435761U + 374761393U;
    h ^= h >> 15U;
    h *= 2246822519U;
    h ^= h >> 13U;
    h *= 3266489917U;
    return h ^ (h >> 16U);
}

} // namespace

ReferenceFile::ReferenceFile(const std::string& path) : reader_(path) {
    check(reader_.has_attribute("/", "kind") && reader_.has_attribute("/", "model"), ExitCode::data,
          "{}: no attributes kind and model; expected a parity file", path);
    kind_ = reader_.text_attribute("/", "kind");
    model_ = reader_.text_attribute("/", "model");
    try {
        settings_ = json::parse(reader_.text_attribute("/", "settings"));
    } catch (const json::exception& e) {
        fail(ExitCode::data, "{}: attribute settings is no JSON: {}", path, e.what());
    }
}

Index ReferenceFile::integer(const std::string& name) const {
    check(settings_.contains(name) && settings_[name].is_number_integer(), ExitCode::data,
          "{}: settings have no integer {}", reader_.path(), name);
    return settings_[name].get<Index>();
}

std::string ReferenceFile::text(const std::string& name, const std::string& standard) const {
    if (!settings_.contains(name)) {
        check(!standard.empty(), ExitCode::data, "{}: settings have no {}", reader_.path(), name);
        return standard;
    }
    check(settings_[name].is_string(), ExitCode::data, "{}: setting {} is no text", reader_.path(), name);
    return settings_[name].get<std::string>();
}

std::shared_ptr<const models::Model> ReferenceFile::model() const {
    models::PublishedSettings published{reader_.path(), {}};
    for (const auto& [name, value] : settings_.items()) {
        if (const auto v = setting(value)) {
            published.values.set(name, *v);
        }
    }
    std::vector<std::string> words;
    for (const models::ModelEntry& entry : models::model_table()) {
        const std::string& word = entry.choice.word;
        if (entry.make_published == nullptr) {
            continue;
        }
        if (model_ == word || model_.starts_with(word + " ")) { // "egnn with sites"
            // A file of weights alone has no input.
            return entry.make_published(published,
                                        {reader_.path(), reader_.has("/input") ? reader_.datasets("/input")
                                                                               : std::vector<std::string>{}});
        }
        words.push_back(word);
    }
    fail(ExitCode::data, "{}: model {}; this build knows {}", reader_.path(), model_, fmt::join(words, ", "));
}

bool ReferenceFile::branches() const {
    if (settings_.contains("branches") && settings_["branches"].is_boolean()) {
        return settings_["branches"].get<bool>();
    }
    return kind_ == "trajectory" || reader_.has("/gamma");
}

bool ReferenceFile::training_mode() const { return text("mode", "train") != "eval"; }

bool ReferenceFile::given_features() const { return reader_.has("/input/node_feature"); }

Index ReferenceFile::rows_of(const std::string& path) const {
    const std::vector<Index> shape = reader_.shape(path);
    return std::accumulate(shape.begin(), shape.empty() ? shape.end() : shape.end() - 1, Index{1},
                           std::multiplies<>());
}

template <class T>
std::vector<T> ReferenceFile::field(const FieldRows& rows) const {
    // What files call otherwise, and what they leave to be derived.
    const auto name = [&]() -> std::string {
        const bool renamed = !reader_.has("/input/" + rows.name);
        return renamed && rows.name == "position_later" ? "target"
               : renamed && rows.name == "kind"         ? "edge_type"
               : renamed && rows.name == "height"       ? "position"
                                                        : rows.name;
    }();
    const std::string path = "/input/" + name;
    const bool height = name == "position" && rows.name == "height";
    const Index columns = height ? 3 : rows.columns;
    const std::vector<double> values = reader_.doubles(path);
    const Index width = rows.extent.times * columns;
    check(static_cast<Index>(values.size()) == rows.in_file * width, ExitCode::data,
          "{}: {} has {} numbers, expected {} x {}", reader_.path(), path, values.size(), rows.in_file,
          width);
    // All times of a row together, or (two dimensions) all rows of a time.
    const bool by_time = rows.extent.times > 1 && reader_.shape(path).size() == 2;
    std::vector<T> out;
    for (const Index row : rows.of) {
        for (Index t = 0; t < rows.extent.times; ++t) {
            const Index at = by_time ? t * rows.in_file + row : row * rows.extent.times + t;
            for (Index c = 0; c < columns; ++c) {
                out.push_back(static_cast<T>(values[static_cast<std::size_t>(at * columns + c)]));
            }
        }
    }
    if (height) { // y/10 divided by its maximum over the batch
        std::vector<T> y;
        for (std::size_t i = 1; i < out.size(); i += 3) {
            y.push_back(out[i] / T(10));
        }
        const T most = y.empty() ? T(1) : *std::ranges::max_element(y);
        std::ranges::transform(y, y.begin(), [&](T v) { return v / most; });
        return y;
    }
    return out;
}

template <class T>
void ReferenceFile::batch(const Program& program, const std::vector<Index>& samples,
                          BatchPart<T>& part) const {
    // Networks without messages have files without edges.
    std::vector<Index> edge_index;
    if (reader_.has("/input/edge_index")) {
        edge_index = reader_.integers("/input/edge_index");
        check(reader_.shape("/input/edge_index").size() == 2 && reader_.shape("/input/edge_index")[0] == 2,
              ExitCode::data, "{}: /input/edge_index: expected shape [2, edges]", reader_.path());
    }
    const auto file_edges = static_cast<Index>(edge_index.size()) / 2;
    const std::string node_rows = reader_.has("/input/position") ? "/input/position" : "/input/feature";
    const Index file_nodes = rows_of(node_rows);
    // Trajectories store the edges of one simulation and all simulations' nodes.
    Index nodes_each = file_nodes;
    std::vector<Index> graph_index;
    if (samples.empty()) {
        graph_index = reader_.has("/input/graph_index")
                          ? reader_.integers("/input/graph_index")
                          : std::vector<Index>(static_cast<std::size_t>(file_nodes), 0);
    } else {
        check(!edge_index.empty(), ExitCode::data, "{}: no edges in /input/edge_index", reader_.path());
        const std::vector<Index> shape = reader_.shape(node_rows);
        nodes_each = shape.size() > 2 ? shape[1] : 1 + *std::ranges::max_element(edge_index);
    }
    for (const Index i : edge_index) {
        check(i >= 0 && i < nodes_each, ExitCode::data,
              "{}: /input/edge_index holds node {}, expected 0 to {}", reader_.path(), i, nodes_each - 1);
    }
    for (const Index s : samples) {
        check(s >= 0 && (s + 1) * nodes_each <= file_nodes, ExitCode::data,
              "{}: /input/batch holds sample {}, expected 0 to {}", reader_.path(), s,
              file_nodes / nodes_each - 1);
    }
    edge_order_ = sorted_edges(edge_index, file_edges);
    std::vector<Index> node_of, edge_of, sender, receiver, begin{0};
    const auto copies = samples.empty() ? std::size_t{1} : samples.size();
    for (std::size_t s = 0; s < copies; ++s) {
        const Index first = static_cast<Index>(s) * nodes_each;
        for (Index i = 0; i < nodes_each; ++i) {
            node_of.push_back(samples.empty() ? i : samples[s] * nodes_each + i);
        }
        for (const Index e : edge_order_) {
            edge_of.push_back(e);
            sender.push_back(first + edge_index[static_cast<std::size_t>(e)]);
            receiver.push_back(first + edge_index[static_cast<std::size_t>(file_edges + e)]);
        }
        if (!samples.empty()) {
            begin.push_back(first + nodes_each);
        }
    }
    const auto nodes = static_cast<Index>(node_of.size());
    if (samples.empty()) {
        for (Index i = 0; i < nodes; ++i) {
            const Index g = graph_index[static_cast<std::size_t>(i)];
            check(g == static_cast<Index>(begin.size()) - 1 || g == static_cast<Index>(begin.size()) - 2,
                  ExitCode::data, "{}: /input/graph_index: graph {} at node {}, expected ascending numbers",
                  reader_.path(), g, i);
            if (g == static_cast<Index>(begin.size()) - 1) {
                begin.push_back(i);
            }
            begin.back() = i + 1;
        }
    }
    build_topology(part.topology, sender, receiver, nodes);
    part.topology.node_begin.assign(begin.begin(), begin.end());
    part.topology.graph_of_node.assign(static_cast<std::size_t>(nodes), 0);
    const auto graphs = static_cast<Index>(begin.size()) - 1;
    for (Index g = 0; g < graphs; ++g) {
        for (Index i = begin[static_cast<std::size_t>(g)]; i < begin[static_cast<std::size_t>(g + 1)]; ++i) {
            part.topology.graph_of_node[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(g);
        }
    }
    part.lanes = 1;
    part.lane_begin[0] = {0, 1};
    part.lane_begin[1] = {0, graphs};
    part.lane_begin[2] = {0, nodes};
    part.lane_begin[3] = {0, static_cast<Index>(sender.size())};
    part.field.clear();
    for (std::size_t f = 0; f < program.fields.size(); ++f) {
        const auto info = std::ranges::find_if(program.values, [&](const ValueInfo& v) {
            return v.kind == ValueKind::input && v.offset == static_cast<Index>(f);
        });
        FieldRows rows{program.fields[f], info->extent, info->columns, file_nodes, node_of};
        if (info->extent.axis == Axis::edge) {
            rows.in_file = file_edges;
            rows.of = edge_of;
        } else if (info->extent.axis == Axis::graph) {
            rows.in_file = graphs;
            rows.of.resize(static_cast<std::size_t>(graphs));
            std::iota(rows.of.begin(), rows.of.end(), Index{0});
        }
        part.field.push_back(field<T>(rows));
    }
}

std::vector<double> ReferenceFile::formula(const std::string& parameter, Index size) const {
    const std::vector<std::string> names = reader_.strings("/weight_formula/name");
    const auto found = std::ranges::find(names, parameter);
    check(found != names.end(), ExitCode::data, "{}: /weight_formula has no {}", reader_.path(), parameter);
    const auto i = static_cast<std::size_t>(found - names.begin());
    const Index first = reader_.integers("/weight_formula/first_k").at(i);
    check(size >= 0 && size < (Index{1} << 32), ExitCode::data, "{}: {} numbers of {} by formula",
          reader_.path(), size, parameter);
    std::vector<double> values(static_cast<std::size_t>(size));
    if (reader_.has("/weight_formula/p")) {
        const double a = reader_.doubles("/weight_formula/a").at(i);
        const double offset = reader_.doubles("/weight_formula/offset").at(i);
        const auto p = static_cast<double>(reader_.integers("/weight_formula/p").at(i));
        for (Index k = 0; k < size; ++k) {
            const auto number = static_cast<double>(first + k);
            values[static_cast<std::size_t>(k)] = offset + a * std::sin(0.37 * number + 0.11 * p + 0.5);
        }
    } else { // hashed numbers: uniform on ±1/sqrt(fan_in)
        const double scale = std::sqrt(reader_.doubles("/weight_formula/fan_in").at(i));
        for (Index k = 0; k < size; ++k) {
            values[static_cast<std::size_t>(k)] =
                (static_cast<double>(hashed(static_cast<std::uint32_t>(first + k))) / 2147483648.0 - 1.0) /
                scale;
        }
    }
    double sum = 0;
    double square = 0;
    for (const double value : values) {
        sum += value;
        square += value * value;
    }
    // The formula is only a formula for those who evaluate it alike: the file says what comes out.
    const double expected_sum = reader_.doubles("/weight_check/sum").at(i);
    const double expected_norm = reader_.doubles("/weight_check/l2").at(i);
    const double scale = std::max(std::abs(expected_norm), 1e-300);
    check(std::abs(std::sqrt(square) - expected_norm) <= 1e-9 * scale &&
              std::abs(sum - expected_sum) <= 1e-9 * scale * std::sqrt(static_cast<double>(size)),
          ExitCode::data, "{}: weights of {} by formula have sum {} and norm {}, expected {} and {}",
          reader_.path(), parameter, sum, std::sqrt(square), expected_sum, expected_norm);
    return values;
}

template <class T>
void ReferenceFile::load(const Network& network, std::vector<T>& trained, std::vector<T>& state) const {
    network.initialise<T>(0, trained, state);
    const auto& parameters = network.parameters().all();
    const bool by_formula = reader_.has("/weight_formula");
    for (std::size_t n = 0; n < parameters.size(); ++n) {
        const Parameter& p = parameters[n];
        if (p.kind == ParameterKind::gate && !reader_.has("/weight/" + p.name)) {
            continue; // from /gamma or the settings, below
        }
        std::vector<double> values;
        if (by_formula && !reader_.has("/weight/" + p.name)) {
            values = formula(p.name, p.size);
        } else {
            const std::string path = "/weight/" + p.name;
            check(reader_.has(path), ExitCode::data, "{}: no {}", reader_.path(), path);
            check(reader_.shape(path) == p.shape, ExitCode::data, "{}: {} has shape [{}], expected [{}]",
                  reader_.path(), path, fmt::join(reader_.shape(path), ", "), fmt::join(p.shape, ", "));
            values = reader_.doubles(path);
        }
        network.parameters().from_published<T>(static_cast<int>(n), values, trained);
    }
    if (reader_.has("/gamma") && network.sites() > 0) {
        const std::vector<double> gamma = reader_.doubles("/gamma");
        check(static_cast<Index>(gamma.size()) == network.sites(), ExitCode::data,
              "{}: {} gates in /gamma, expected {}", reader_.path(), gamma.size(), network.sites());
        for (Index s = 0; s < network.sites(); ++s) {
            if (network.gate_offset(s) >= 0) {
                trained[static_cast<std::size_t>(network.gate_offset(s))] =
                    static_cast<T>(gamma[static_cast<std::size_t>(s)]);
            }
        }
    }
    for (const StateBuffer& b : network.states().all()) {
        const std::string path = "/weight/" + b.name;
        check(reader_.has(path), ExitCode::data, "{}: no {}", reader_.path(), path);
        const std::vector<double> values = reader_.doubles(path);
        check(static_cast<Index>(values.size()) == b.size, ExitCode::data,
              "{}: {} has {} numbers, expected {}", reader_.path(), path, values.size(), b.size);
        std::ranges::transform(values, state.begin() + b.offset, [](double x) { return static_cast<T>(x); });
    }
}

std::vector<std::string> ReferenceFile::listed(const std::string& attribute) const {
    std::vector<std::string> names;
    if (reader_.has_attribute("/", attribute)) {
        const json list = json::parse(reader_.text_attribute("/", attribute), nullptr, false);
        for (const json& name : list.is_array() ? list : json::array()) {
            if (name.is_string()) {
                names.push_back(name.get<std::string>());
            }
        }
    }
    return names;
}

double ReferenceFile::float32_error() const {
    const std::string name = "float32_error";
    if (!reader_.has_attribute("/", name)) {
        return 0;
    }
    try {
        return reader_.number_attribute("/", name);
    } catch (const Error&) { // one number for each kind of tensor
        const json kinds = json::parse(reader_.text_attribute("/", name), nullptr, false);
        check(kinds.is_object(), ExitCode::data,
              "{}: attribute float32_error is neither a number nor a JSON object of numbers", reader_.path());
        double worst = 0;
        for (const auto& [kind, error] : kinds.items()) {
            worst = std::max(worst, error.is_number() ? error.get<double>() : 0.0);
        }
        return worst;
    }
}

template void ReferenceFile::batch<float>(const Program&, const std::vector<Index>&, BatchPart<float>&) const;
template void ReferenceFile::batch<double>(const Program&, const std::vector<Index>&,
                                           BatchPart<double>&) const;
template void ReferenceFile::load<float>(const Network&, std::vector<float>&, std::vector<float>&) const;
template void ReferenceFile::load<double>(const Network&, std::vector<double>&, std::vector<double>&) const;

} // namespace tether::run
