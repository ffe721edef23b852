#include "tether/models/mlp.hpp"

#include "src/models/keys.hpp"
#include "tether/layers/linear.hpp"
#include "tether/ops/graph.hpp"

namespace tether::models {
namespace {

std::string layer_name(Index number) { return "mlp." + std::to_string(2 * number); } // SiLU in between

} // namespace

Value Mlp::network(Recording& r, Value features) const {
    Builder& b = r.b;
    Value x = ops::nodes_side_by_side(b, features, settings_.nodes);
    for (Index k = 0; k < settings_.layers; ++k) {
        x = layers::linear(b, layer_name(k), {x}, settings_.hidden,
                           {.activation = Activation::silu, .kind = ParameterKind::free});
    }
    const Value y = layers::linear(b, layer_name(settings_.layers), {x}, settings_.nodes * outputs(),
                                   {.kind = ParameterKind::free});
    return ops::split_to_nodes(b, y, outputs());
}

std::string Mlp::last_weight() const { return layer_name(settings_.layers) + ".weight"; }

Work Mlp::step_work(Index graphs, Index, Index, bool) const {
    const auto g = static_cast<double>(graphs);
    const auto d = static_cast<double>(settings_.hidden);
    const auto layers = static_cast<double>(settings_.layers);
    const double weights =
        d * static_cast<double>(settings_.nodes * (inputs() + outputs())) + (layers - 1) * d * d;
    return work_of(g * weights, g * layers * 2 * d, weights);
}

namespace {

std::shared_ptr<const Model> from_job(const Settings& s, const OfferedFields& offered) {
    return std::make_shared<Mlp>(
        MlpSettings{s.integer("hidden"), s.integer("layers"), s.integer("nodes"), backbone_fields(offered)});
}

} // namespace

ModelEntry mlp_entry() {
    Key layers = layers_key(3);
    layers.meaning = "hidden layers";
    return {.choice = {.chooser = "model.name",
                       .word = "mlp",
                       .meaning = "unconstrained: all nodes of a graph as one row; no sites",
                       .keys = {width_key(680, "width of a hidden layer"),
                                layers,
                                {.name = "nodes",
                                 .kind = Kind::integer,
                                 .standard = Index{5},
                                 .meaning = "nodes of the largest graph",
                                 .low = 1,
                                 .high = 100000}}},
            .make = from_job};
}

} // namespace tether::models
