#include "tether/models/gnn.hpp"

#include "src/models/keys.hpp"
#include "tether/layers/linear.hpp"
#include "tether/ops/block_linear.hpp"
#include "tether/ops/elementwise.hpp"
#include "tether/ops/graph.hpp"

namespace tether::models {
namespace {

constexpr Index edge_features = 2;
const layers::LinearOptions plain{.kind = ParameterKind::free};
const layers::LinearOptions silu{.activation = Activation::silu, .kind = ParameterKind::free};

// [s_i s_j, |x_i - x_j|²], from the columns [scalar, position] of the node features.
Value edge_feature(Builder& b, Value features) {
    const Value scalar = ops::slice(b, features, 0, 1);
    const Value position = ops::slice(b, features, 1, 3);
    const Value difference =
        ops::gather(b, {.at_receiver = position, .at_sender = position, .sender_factor = -1});
    return ops::concatenate(b, {ops::multiply(b, ops::at_receiver(b, scalar), ops::at_sender(b, scalar)),
                                ops::row_dot(b, difference, difference)});
}

// The first edge layer is linear in [h_i, h_j, e]: h's part is computed on nodes.
Value message(Builder& b, const std::string& name, Value h, Value e, Index hidden) {
    const Index total = 2 * hidden + edge_features;
    const Value weight = layers::linear_weight(b, name + ".0", hidden, total, plain);
    const auto bias = layers::linear_bias(b, name + ".0", hidden, total, plain);
    const Value first =
        ops::gather(b, {.at_receiver = ops::linear_part(b, h, weight, hidden, total, 0),
                        .at_sender = ops::linear_part(b, h, weight, hidden, total, hidden),
                        .on_edge = ops::linear_part(b, e, weight, hidden, total, 2 * hidden, bias),
                        .activation = Activation::silu});
    return layers::linear(b, name + ".2", {first}, hidden, silu);
}

} // namespace

Value Gnn::network(Recording& r, Value features) const {
    Builder& b = r.b;
    const Index hidden = settings_.hidden;
    const Value e = edge_feature(b, features);
    Value h = layers::linear(b, "embedding", {features}, hidden, plain);
    r.output("embedding", h);
    for (Index k = 0; k < settings_.layers; ++k) {
        const std::string layer = "gcl_" + std::to_string(k);
        const Value gathered = ops::sum_at_receiver(b, message(b, layer + ".edge_mlp", h, e, hidden));
        const Value inner = layers::linear(b, layer + ".node_mlp.0", {h, gathered}, hidden, silu);
        h = ops::add(b, {h, layers::linear(b, layer + ".node_mlp.2", {inner}, hidden, plain)});
        r.output("h." + std::to_string(k), h);
    }
    return layers::linear(b, "head.2", {layers::linear(b, "head.0", {h}, hidden, silu)}, outputs(), plain);
}

Work Gnn::step_work(Index, Index nodes, Index edges, bool) const {
    const auto n = static_cast<double>(nodes);
    const auto e = static_cast<double>(edges);
    const auto d = static_cast<double>(settings_.hidden);
    const auto layers = static_cast<double>(settings_.layers);
    const double ends = d * static_cast<double>(inputs() + outputs()) + d * d;
    const double node = 2 * d * d + 3 * d * d; // both halves of the first edge layer, the node perceptron
    const double edge = edge_features * d + d * d;
    return work_of(n * ends + layers * (n * node + e * edge), layers * (e * 4 * d + n * 6 * d),
                   ends + layers * (node + edge));
}

namespace {

std::shared_ptr<const Model> from_job(const Settings& s, const OfferedFields& offered) {
    return std::make_shared<Gnn>(
        GnnSettings{s.integer("hidden"), s.integer("layers"), backbone_fields(offered)});
}

} // namespace

ModelEntry gnn_entry() {
    return {.choice = {.chooser = "model.name",
                       .word = "gnn",
                       .meaning = "unconstrained: message passing on plain coordinates; no sites",
                       .keys = {width_key(64), layers_key(4)}},
            .make = from_job};
}

} // namespace tether::models
