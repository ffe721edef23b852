#include "tether/models/egnn.hpp"

#include "src/models/keys.hpp"
#include "src/models/position_branches.hpp"
#include "tether/models/registry.hpp"
#include "tether/ops/block_linear.hpp"
#include "tether/ops/graph.hpp"

#include <cmath>

namespace tether::models {
namespace {

constexpr double coordinate_clamp = 100; // per component of r_ij phi_x, before the mean
const Extent nodes{Axis::node, 1};

} // namespace

EgnnLayerState egnn_layer(Builder& b, const std::string& name, Value h, Value x, Value velocity,
                          Value edge_feature, Index hidden) {
    const layers::LinearOptions silu{.activation = Activation::silu};
    // r_ij = x_i - x_j, i the receiver
    const Value difference = ops::gather(b, {.at_receiver = x, .at_sender = x, .sender_factor = -1});
    const Value radial = ops::row_dot(b, difference, difference);

    // The first edge layer is linear in [h_i, h_j, |r|², e]: h's part is computed on nodes.
    const Index features = b.info(edge_feature).columns;
    const Index total = 2 * hidden + 1 + features;
    const Value weight = layers::linear_weight(b, name + ".edge_mlp.0", hidden, total, {});
    const auto bias = layers::linear_bias(b, name + ".edge_mlp.0", hidden, total, {});
    const Value at_receiver = ops::linear_part(b, h, weight, hidden, total, 0);
    const Value at_sender = ops::linear_part(b, h, weight, hidden, total, hidden);
    const ops::BlockLinear edge_map{hidden,
                                    {{0,
                                      0,
                                      1,
                                      hidden,
                                      {{0, 0, 0, {2 * hidden, 1, total, 1, hidden}},
                                       {1, 0, 0, {2 * hidden + 1, 1, total, features, hidden}}}}}};
    const Value on_edge = ops::block_linear(b, {radial, edge_feature}, weight, edge_map, bias);
    const Value first = ops::gather(b, {.at_receiver = at_receiver,
                                        .at_sender = at_sender,
                                        .on_edge = on_edge,
                                        .activation = Activation::silu});
    const Value message = layers::linear(b, name + ".edge_mlp.2", {first}, hidden, silu);

    const double xavier = 0.001 * std::sqrt(6.0 / static_cast<double>(hidden + 1));
    const Value push = layers::linear(b, name + ".coord_mlp.2",
                                      {layers::linear(b, name + ".coord_mlp.0", {message}, hidden, silu)}, 1,
                                      {.bias = false, .initial = Initial::uniform(xavier)});
    const Value moved =
        ops::mean_at_receiver(b, ops::clamp(b, ops::scale_rows(b, difference, push), coordinate_clamp));
    const Value drift = layers::linear(b, name + ".coord_mlp_vel.2",
                                       {layers::linear(b, name + ".coord_mlp_vel.0", {h}, hidden, silu)}, 1);
    const Value new_x = ops::add(b, {x, moved, ops::scale_rows(b, velocity, drift)});

    const Value gathered = ops::sum_at_receiver(b, message);
    const Value update =
        layers::linear(b, name + ".node_mlp.2",
                       {layers::linear(b, name + ".node_mlp.0", {h, gathered}, hidden, silu)}, hidden);
    return {ops::add(b, {h, update}), new_x, message};
}

std::vector<layers::SiteInfo> Egnn::sites() const { return position_sites(settings_.layers); }

Value Egnn::record(Recording& r) const {
    Builder& b = r.b;
    const Index hidden = settings_.hidden;
    const Value position = r.input({"position", nodes, 3});
    const Value velocity = r.input({"velocity", nodes, 3});
    Value node_feature;
    Value edge_feature;
    if (r.given_features) {
        node_feature = r.input({"node_feature", nodes, settings_.motion ? 2 : 1});
        edge_feature = r.input({"edge_feature", {Axis::edge, 1}, 2});
    } else {
        const Value difference =
            ops::gather(b, {.at_receiver = position, .at_sender = position, .sender_factor = -1});
        node_feature = ops::row_norm(b, velocity);
        Value pair;
        if (settings_.motion) {
            node_feature = ops::concatenate(b, {node_feature, r.input({"height", nodes, 1})});
            pair = r.input({"kind", {Axis::edge, 1}, 1});
        } else {
            const Value charge = r.input({"charge", nodes, 1});
            pair = ops::multiply(b, ops::at_receiver(b, charge), ops::at_sender(b, charge));
        }
        edge_feature = ops::concatenate(b, {pair, ops::row_dot(b, difference, difference)});
    }
    Value h = layers::linear(b, "embedding", {node_feature}, hidden);
    r.output("after_embedding", h);
    Value x = position;
    const auto scalars = symmetry::Representation::scalars(hidden);
    const auto vector = symmetry::Representation::vectors();
    Value q;
    if (r.sites.own_branches()) {
        q = feature_branch_start(b, node_feature, hidden);
    }
    for (Index k = 0; k < settings_.layers; ++k) {
        const Value entering = x;
        const EgnnLayerState next =
            egnn_layer(b, "gcl_" + std::to_string(k), h, x, velocity, edge_feature, hidden);
        const std::string layer = "layer" + std::to_string(k);
        const std::vector<layers::Carried> state{{h, scalars}, {entering, vector}};
        h = r.sites.add(b, layer + ".h", {next.h, scalars}, state, [&] {
            q = feature_branch(b, k, q, hidden, r.training);
            return q;
        });
        x = r.sites.add(b, layer + ".x", {next.x, vector}, state,
                        [&] { return coordinate_branch(b, k, entering, hidden, r.training); });
        if (k == 0) {
            r.output("message_layer_0", next.message);
        }
        r.output("layer_" + std::to_string(k) + "/h", h);
        r.output("layer_" + std::to_string(k) + "/x", x);
    }
    r.output("position", x);
    return x;
}

Work Egnn::step_work(Index, Index node_count, Index edge_count, bool branches) const {
    const auto n = static_cast<double>(node_count);
    const auto e = static_cast<double>(edge_count);
    const auto d = static_cast<double>(settings_.hidden);
    const auto layers = static_cast<double>(settings_.layers);
    // Multiply-adds forward. Nodes: both halves of edge_mlp.0, velocity perceptron, node perceptron
    // (not in the last layer, which nothing reads); edges: the three edge features, edge_mlp.2, coord_mlp.
    const double node = 2 * d * d + d * d + d;
    const double node_update = 2 * d * d + d * d;
    const double edge = 3 * d + d * d + d * d + d;
    double forward = layers * (n * node + e * edge) + (layers - 1) * n * node_update + n * d;
    double parameters = 0;
    if (branches) {
        forward += n * d + layers * n * (9 + 6 * d) + (layers - 1) * n * d * d;
        parameters += layers * (d * d + 10 * d) + 2 * d;
    }
    parameters += layers * (2 * d * d + 4 * d + d * d + 2 * d + d * d + 2 * d + 4 * d * d);
    // Every kept activation is written once and read once; parameters, gradient and moments once each way.
    const double kept = layers * (e * 4 * d + n * 6 * d);
    return {3 * 2 * forward, 4 * (2 * kept + 7 * parameters)};
}

namespace {

std::shared_ptr<const Model> from_job(const Settings& s, const OfferedFields& fields) {
    const bool motion = fields.one_of({"charge", "height"}) == "height" && fields.one_of({"kind"}) == "kind";
    return std::make_shared<Egnn>(EgnnSettings{s.integer("hidden"), s.integer("layers"), motion});
}

std::shared_ptr<const Model> from_published(const PublishedSettings& s, const OfferedFields&) {
    return std::make_shared<Egnn>(EgnnSettings{s.integer("hidden"), s.integer("layers"), false});
}

} // namespace

ModelEntry egnn_entry() {
    return {.choice = {.chooser = "model.name",
                       .word = "egnn",
                       .meaning = "E(n) message passing on distances, with velocities; sites: two per layer",
                       .keys = {width_key(64), layers_key(4)}},
            .make = from_job,
            .make_published = from_published};
}

} // namespace tether::models
