#include "tether/models/transformer.hpp"

#include "src/models/keys.hpp"
#include "tether/core/error.hpp"
#include "tether/layers/linear.hpp"
#include "tether/ops/attention.hpp"
#include "tether/ops/elementwise.hpp"
#include "tether/ops/norms.hpp"

#include <algorithm>

namespace tether::models {
namespace {

constexpr double norm_eps = 1e-5;
constexpr Index mlp_factor = 2; // inner width of the perceptron over the hidden width

// Published rows of queries, keys or values are channel by channel, all heads of a channel together;
// inside they are head by head. `parts` such blocks follow each other.
std::vector<Index> head_order(Index heads, Index channels, Index parts) {
    std::vector<Index> order;
    for (Index part = 0; part < parts; ++part) {
        for (Index head = 0; head < heads; ++head) {
            for (Index c = 0; c < channels; ++c) {
                order.push_back(part * heads * channels + c * heads + head);
            }
        }
    }
    return order;
}

Value free_linear(Builder& b, const std::string& name, Value x, Index out,
                  layers::LinearOptions options = {}) {
    options.kind = ParameterKind::free;
    return layers::linear(b, name, {x}, out, options);
}

} // namespace

Value Transformer::network(Recording& r, Value features) const {
    Builder& b = r.b;
    const Index heads = settings_.heads;
    const Index channels = settings_.head_channels;
    const kernels::AttentionShape shape{heads, settings_.multi_query ? 1 : heads, channels};
    Value h = free_linear(b, "linear_in", features, settings_.hidden);
    r.output("embedding", h);
    for (Index k = 0; k < settings_.blocks; ++k) {
        const std::string number = std::to_string(k);
        const std::string block = "blocks." + number;
        const std::string in = block + ".attention.qkv_linear.";
        const Value normal = ops::layer_norm(b, h, norm_eps);
        Value x;
        if (settings_.multi_query) {
            x = ops::concatenate(b, {free_linear(b, in + "q_linear", normal, heads * channels,
                                                 {.output_order = head_order(heads, channels, 1)}),
                                     free_linear(b, in + "k_linear", normal, channels),
                                     free_linear(b, in + "v_linear", normal, channels)});
        } else {
            x = free_linear(b, in + "linear", normal, shape.columns(),
                            {.output_order = head_order(heads, channels, 3)});
        }
        const Value attended =
            free_linear(b, block + ".attention.out_linear", ops::attention(b, x, shape), settings_.hidden);
        r.output("attention." + number, attended);
        h = ops::add(b, {h, attended});
        const Value inner = free_linear(b, block + ".mlp.0", ops::layer_norm(b, h, norm_eps),
                                        mlp_factor * settings_.hidden, {.activation = Activation::gelu});
        h = ops::add(b, {h, free_linear(b, block + ".mlp.2", inner, settings_.hidden)});
        r.output("h." + number, h);
    }
    return free_linear(b, "linear_out", h, outputs());
}

Work Transformer::step_work(Index graphs, Index nodes, Index, bool) const {
    const auto n = static_cast<double>(nodes);
    const auto d = static_cast<double>(settings_.hidden);
    const auto q = static_cast<double>(settings_.heads * settings_.head_channels);
    const auto kv = settings_.multi_query ? 2 * static_cast<double>(settings_.head_channels) : 2 * q;
    const auto blocks = static_cast<double>(settings_.blocks);
    const auto ends = static_cast<double>(settings_.hidden * (inputs() + outputs()));
    const double block = d * (q + kv) + q * d + 2 * mlp_factor * d * d;
    const double pairs = n * n / static_cast<double>(std::max<Index>(1, graphs)); // of graphs of equal size
    return work_of(n * (ends + blocks * block) + blocks * 2 * pairs * q,
                   n * blocks * (4 * d + 2 * q + kv + 2 * mlp_factor * d), ends + blocks * block);
}

namespace {

std::shared_ptr<const Model> from_job(const Settings& s, const OfferedFields& offered) {
    const Index hidden = s.integer("hidden");
    const Index heads = s.integer("heads");
    check(hidden % heads == 0, "model.hidden = {} is no multiple of model.heads = {}", hidden, heads);
    return std::make_shared<Transformer>(
        TransformerSettings{.hidden = hidden,
                            .heads = heads,
                            .head_channels = hidden / heads,
                            .blocks = s.integer("blocks"),
                            .multi_query = s.text("attention") == "multi-query",
                            .fields = backbone_fields(offered)});
}

std::shared_ptr<const Model> from_published(const PublishedSettings& s, const OfferedFields&) {
    const Index out = s.integer("out_channels");
    check(s.has("multi_query") && std::holds_alternative<bool>(s.values.values().at("multi_query")),
          ExitCode::data, "{}: settings have no truth value multi_query", s.path);
    return std::make_shared<Transformer>(TransformerSettings{
        .hidden = s.integer("hidden_channels"),
        .heads = s.integer("num_heads"),
        .head_channels = s.integer("head_channels"),
        .blocks = s.integer("num_blocks"),
        .multi_query = std::get<bool>(s.values.values().at("multi_query")),
        .fields = {.given = s.integer("in_channels"), .target = {"target", {Axis::node, 1}, out}}});
}

} // namespace

ModelEntry transformer_entry() {
    return {.choice = {.chooser = "model.name",
                       .word = "transformer",
                       .meaning = "unconstrained: attention among the nodes of a graph; no sites",
                       .keys = {width_key(384, "width of a token, a multiple of heads"),
                                {.name = "blocks",
                                 .kind = Kind::integer,
                                 .standard = Index{10},
                                 .meaning = "attention and perceptron blocks",
                                 .low = 1,
                                 .high = 256},
                                {.name = "heads",
                                 .kind = Kind::integer,
                                 .standard = Index{8},
                                 .meaning = "query heads",
                                 .low = 1,
                                 .high = 256},
                                {.name = "attention",
                                 .kind = Kind::text,
                                 .standard = std::string("multi-query"),
                                 .meaning = "keys and values: one head for all queries, or one for each",
                                 .words = {"multi-query", "multi-head"}}}},
            .make = from_job,
            .make_published = from_published};
}

} // namespace tether::models
