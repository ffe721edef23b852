#include "tether/models/segnn.hpp"

#include "src/models/keys.hpp"
#include "tether/core/error.hpp"
#include "tether/layers/linear.hpp"
#include "tether/layers/tensor_product.hpp"
#include "tether/models/registry.hpp"
#include "tether/ops/elementwise.hpp"
#include "tether/ops/graph.hpp"
#include "tether/ops/harmonics.hpp"
#include "tether/ops/norms.hpp"
#include "tether/symmetry/layout.hpp"
#include "tether/symmetry/paths.hpp"

#include <utility>

namespace tether::models {
namespace {

using layers::Features;
using symmetry::Irreps;

const Extent node_rows{Axis::node, 1};

Value gated_product(Builder& b, const std::string& name, const std::vector<Features>& inputs,
                    const Features& attributes, const Irreps& out) {
    return layers::gate(b, layers::tensor_product(b, name, inputs, attributes, layers::before_gate(out)),
                        out);
}

// Free branch: a perceptron of three layers on the plain columns, published order outside.
Value free_branch(Builder& b, const std::string& name, const std::vector<Value>& inputs,
                  const Irreps& hidden) {
    const std::vector<Index> order = symmetry::component_major_order(hidden);
    const Index width = hidden.dim();
    std::vector<Index> input_order;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        for (const Index k : order) {
            input_order.push_back(static_cast<Index>(i) * width + k);
        }
    }
    const ParameterKind kind = ParameterKind::free;
    const Value first =
        layers::linear(b, name + ".0", inputs, 2 * width,
                       {.activation = Activation::gelu, .kind = kind, .input_order = input_order});
    const Value second =
        layers::linear(b, name + ".2", {first}, width, {.activation = Activation::gelu, .kind = kind});
    return layers::linear(b, name + ".4", {second}, width, {.kind = kind, .output_order = order});
}

Value instance_norm(Builder& b, const std::string& name, Value x, const Irreps& irreps) {
    std::vector<ops::NormTerm> terms;
    Index copies = 0;
    Index scalars = 0;
    for (Index t = 0; t < irreps.size(); ++t) {
        const bool scalar = irreps[t].ir.scalar();
        terms.push_back({irreps.offset(t), irreps[t].mul, irreps[t].ir.dim(), scalar});
        copies += irreps[t].mul;
        scalars += scalar ? irreps[t].mul : 0;
    }
    const Value weight =
        b.parameter({.name = name + ".weight", .shape = {copies}, .initial = Initial::constant(1)});
    const Value bias =
        b.parameter({.name = name + ".bias", .shape = {scalars}, .initial = Initial::constant(0)});
    return ops::instance_norm(b, x, weight, bias, terms, 1e-5);
}

// Multiply-adds of a tensor product for one row, every path in its cheaper order.
double product_work(const Irreps& in, const Irreps& attributes, const Irreps& out, bool weights_first) {
    const symmetry::TensorPaths paths = symmetry::tensor_paths(in, attributes, out);
    double work = 0;
    for (const auto& p : paths.paths) {
        const Index a = paths.a[p.a].ir.dim();
        const Index c = paths.c[p.c].ir.dim();
        work += static_cast<double>((weights_first ? a : std::min(a, c)) * p.weights());
    }
    return work;
}

} // namespace

Segnn::Segnn(SegnnSettings settings) : settings_(std::move(settings)) {
    settings_.hidden = settings_.hidden.simplified();
    attributes_ = Irreps::spherical(settings_.lmax_attributes);
    check(settings_.layers >= 1, "segnn: layers = {}, expected at least 1", settings_.layers);
    check(!settings_.hidden.empty() && settings_.hidden[0].ir.scalar(),
          "segnn: hidden = \"{}\", expected irreps that begin with scalars (0e)",
          settings_.hidden.to_string());
}

std::vector<layers::SiteInfo> Segnn::sites() const {
    std::vector<layers::SiteInfo> sites;
    for (Index k = 0; k < settings_.layers; ++k) {
        for (Index s = 0; s < 2; ++s) {
            sites.push_back({"layer" + std::to_string(k) + ".update" + std::to_string(s + 1),
                             "layers." + std::to_string(k) + ".gammas." + std::to_string(s)});
        }
    }
    return sites;
}

FieldInfo Segnn::target() const {
    return settings_.task == SegnnTask::node ? FieldInfo{"target", node_rows, 3}
                                             : FieldInfo{"target_standardised", {Axis::graph, 1}, 1};
}

LossKind Segnn::loss() const {
    return settings_.task == SegnnTask::node ? LossKind::squared : LossKind::absolute;
}

std::vector<Index> Segnn::published_columns(const std::string& output) const {
    if (output == "embedding" || output == "pre_pool1" || output.starts_with("layer_")) {
        return symmetry::component_major_order(settings_.hidden);
    }
    return {};
}

SegnnAttributes segnn_attributes(Builder& b, Value position, std::optional<Value> velocity, int lmax,
                                 symmetry::Normalisation harmonics) {
    SegnnAttributes a;
    a.difference = ops::gather(b, {.at_receiver = position, .at_sender = position, .receiver_factor = -1});
    a.edge = ops::spherical_harmonics(b, a.difference, lmax, harmonics);
    Value node = ops::mean_at_receiver(b, a.edge);
    if (velocity) {
        node = ops::add(b, {node, ops::spherical_harmonics(b, *velocity, lmax, harmonics)});
    }
    a.node = ops::set_column(b, node, 0, 1);
    return a;
}

Value Segnn::record(Recording& r) const {
    Builder& b = r.b;
    const bool node_task = settings_.task == SegnnTask::node;
    const Irreps& hidden = settings_.hidden;
    const Value position = r.input({"position", node_rows, 3});

    Features input;
    Value extra;
    std::optional<Value> velocity;
    if (node_task) {
        velocity = r.input({"velocity", node_rows, 3});
        // 2x1o+1x0e: copies position and velocity, component-major: x0 v0 x1 v1 x2 v2, then |v|.
        const Value pair = ops::permute(b, ops::concatenate(b, {position, *velocity}), {0, 3, 1, 4, 2, 5});
        input = {ops::concatenate(b, {pair, ops::row_norm(b, *velocity)}), Irreps::parse("2x1o+1x0e")};
    } else {
        input = {r.input({"feature", node_rows, settings_.species}),
                 Irreps({{settings_.species, symmetry::Irrep{0, 1}}})};
    }
    const SegnnAttributes a =
        segnn_attributes(b, position, velocity, settings_.lmax_attributes, settings_.harmonics);
    if (node_task) {
        const Value charge = r.input({"charge", node_rows, 1});
        extra =
            ops::concatenate(b, {ops::row_norm(b, a.difference),
                                 ops::multiply(b, ops::at_receiver(b, charge), ops::at_sender(b, charge))});
    } else {
        extra = ops::row_dot(b, a.difference, a.difference);
    }
    const Features node_attributes{a.node, attributes_};
    const Features edge_attributes{a.edge, attributes_};

    const symmetry::Representation columns(hidden, symmetry::Layout::component_major);
    Value x = layers::tensor_product(b, "embedding_layer", {input}, node_attributes, hidden);
    r.output("embedding", x);
    for (Index k = 0; k < settings_.layers; ++k) {
        const std::string name = "layers." + std::to_string(k);
        const std::string site = "layer" + std::to_string(k) + ".update";
        const Value before = layers::message_tensor_product(b, name + ".message_layer_1", {x, hidden}, extra,
                                                            edge_attributes, layers::before_gate(hidden));
        const Value message =
            gated_product(b, name + ".message_layer_2", {{layers::gate(b, before, hidden), hidden}},
                          edge_attributes, hidden);
        const Value gathered = ops::sum_at_receiver(b, message);
        const Value first = gated_product(b, name + ".update_layer_1", {{x, hidden}, {gathered, hidden}},
                                          node_attributes, hidden);
        const Value s =
            r.sites.add(b, site + "1", {first, columns}, {{x, columns}, {gathered, columns}}, [&] {
                return free_branch(b, name + ".lin_noneq1", {x, gathered}, hidden);
            });
        const Value second =
            layers::tensor_product(b, name + ".update_layer_2", {{s, hidden}}, node_attributes, hidden);
        const Value d = r.sites.add(b, site + "2", {second, columns}, {{s, columns}},
                                    [&] { return free_branch(b, name + ".lin_noneq2", {s}, hidden); });
        x = ops::add(b, {x, d});
        if (settings_.instance_norm) {
            x = instance_norm(b, name + ".feature_norm", x, hidden);
        }
        r.output("layer_" + std::to_string(k), x);
    }
    x = gated_product(b, "pre_pool1", {{x, hidden}}, node_attributes, hidden);
    r.output("pre_pool1", x);
    if (node_task) {
        const Value step =
            layers::tensor_product(b, "pre_pool2", {{x, hidden}}, node_attributes, Irreps::parse("1x1o"));
        const Value moved = ops::add(b, {position, step});
        r.output("position", moved);
        return moved;
    }
    const Irreps scalars({{hidden.count(), symmetry::Irrep{0, 1}}});
    const Features constant{{}, Irreps::parse("1x0e")};
    x = layers::tensor_product(b, "pre_pool2", {{x, hidden}}, node_attributes, scalars);
    r.output("pre_pool2", x);
    x = ops::mean_over_graph(b, x);
    r.output("pooled", x);
    x = gated_product(b, "post_pool1", {{x, scalars}}, constant, scalars);
    r.output("post_pool1", x);
    x = layers::tensor_product(b, "post_pool2", {{x, scalars}}, constant, Irreps::parse("1x0e"));
    r.output("value", x);
    return x;
}

Work Segnn::step_work(Index, Index node_count, Index edge_count, bool branches) const {
    const auto n = static_cast<double>(node_count);
    const auto e = static_cast<double>(edge_count);
    const auto layers = static_cast<double>(settings_.layers);
    const Irreps& hidden = settings_.hidden;
    const Irreps gated = layers::before_gate(hidden);
    const auto d = static_cast<double>(hidden.dim());
    const bool node_task = settings_.task == SegnnTask::node;
    const Irreps input =
        node_task ? Irreps::parse("2x1o+1x0e") : Irreps({{settings_.species, symmetry::Irrep{0, 1}}});
    // Multiply-adds forward; the first message product acts on nodes, weights before contraction.
    const double message_nodes = 2 * product_work(hidden, attributes_, gated, true);
    const double message_edges = product_work(hidden, attributes_, gated, false);
    const double update = 2 * product_work(hidden, attributes_, gated, false) +
                          product_work(hidden, attributes_, hidden, false);
    const double head = product_work(hidden, attributes_, gated, false) +
                        product_work(hidden, attributes_, Irreps::parse(node_task ? "1x1o" : "1x0e"), false);
    const double perceptrons = (2 * d * 2 * d + 2 * d * d + d * d) + (d * 2 * d + 2 * d * d + d * d);
    double forward = layers * (n * (message_nodes + update) + e * message_edges) + n * head +
                     n * product_work(input, attributes_, hidden, false);
    double parameters = layers * (4 * product_work(hidden, attributes_, gated, false));
    double kept = layers * (e * 2 * (static_cast<double>(gated.dim())) + n * (4 * d));
    if (branches) {
        forward += layers * n * perceptrons;
        parameters += layers * perceptrons;
        kept += layers * n * 8 * d;
    }
    return {3 * 2 * forward, 4 * (2 * kept + 7 * parameters)};
}

namespace {

// Equal networks have equal hashes, however their irreps are written.
std::string hidden_irreps(const std::string& text) {
    const Irreps irreps = Irreps::parse(text);
    check(!irreps.empty() && irreps.dim() <= 4096, "{} columns, expected 1 .. 4096", irreps.dim());
    check(irreps.lmax() <= symmetry::max_degree, "degree {}, expected at most {}", irreps.lmax(),
          symmetry::max_degree);
    return irreps.to_string();
}

std::shared_ptr<const Model> from_job(const Settings& settings, const OfferedFields& fields) {
    (void)fields.one_of({"charge"});
    SegnnSettings s;
    s.hidden = Irreps::parse(settings.text("hidden"));
    s.layers = settings.integer("layers");
    s.lmax_attributes = static_cast<int>(settings.integer("lmax_attr"));
    s.harmonics = symmetry::normalisation_by_name(settings.text("harmonics"));
    s.instance_norm = settings.text("norm") == "instance";
    return std::make_shared<Segnn>(s);
}

std::shared_ptr<const Model> from_published(const PublishedSettings& f, const OfferedFields&) {
    SegnnSettings s;
    s.hidden = Irreps::parse(f.text("hidden_irreps", ""));
    s.layers = f.integer("layers");
    const Irreps attributes = Irreps::parse(f.text("attribute_irreps", "1x0e+1x1o"));
    s.lmax_attributes = attributes.lmax();
    check(attributes == Irreps::spherical(attributes.lmax()), ExitCode::data,
          "{}: attribute_irreps {}, expected 0e+1o+... up to a degree", f.path, attributes.to_string());
    s.harmonics = symmetry::normalisation_by_name(f.text("harmonics", "integral"));
    s.instance_norm = f.text("norm", "none") == "instance";
    s.task = f.text("pool", "none") == "mean" ? SegnnTask::graph : SegnnTask::node;
    if (s.task == SegnnTask::graph) {
        s.species = Irreps::parse(f.text("input_irreps", "5x0e")).dim();
    }
    return std::make_shared<Segnn>(s);
}

} // namespace

ModelEntry segnn_entry() {
    return {.choice = {.chooser = "model.name",
                       .word = "segnn",
                       .meaning = "steerable E(3) message passing; sites: two per layer",
                       .keys = {{.name = "hidden",
                                 .kind = Kind::text,
                                 .standard = std::string("32x0e+32x1o"),
                                 .meaning = "irreps of the hidden node features",
                                 .canonical = hidden_irreps},
                                layers_key(4),
                                {.name = "lmax_attr",
                                 .kind = Kind::integer,
                                 .standard = Index{1},
                                 .meaning = "highest degree of the spherical harmonics of edges and nodes",
                                 .low = 0,
                                 .high = 6},
                                {.name = "harmonics",
                                 .kind = Kind::text,
                                 .standard = std::string("integral"),
                                 .meaning = "normalisation of the spherical harmonics",
                                 .words = {"integral", "component", "norm"}},
                                {.name = "norm",
                                 .kind = Kind::text,
                                 .standard = std::string("none"),
                                 .meaning = "normalisation after each layer",
                                 .words = {"none", "instance"}}}},
            .make = from_job,
            .make_published = from_published};
}

} // namespace tether::models
