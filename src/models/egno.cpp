#include "tether/models/egno.hpp"

#include "src/models/keys.hpp"
#include "src/models/position_branches.hpp"
#include "tether/layers/time.hpp"
#include "tether/models/registry.hpp"
#include "tether/ops/block_linear.hpp"
#include "tether/ops/graph.hpp"
#include "tether/ops/times.hpp"

namespace tether::models {
namespace {

constexpr double coordinate_clamp = 100; // per component of the mean of r_ij phi_x
const Extent nodes{Axis::node, 1};

// Linear, SiLU, Linear
Value perceptron(Builder& b, const std::string& name, const std::vector<Value>& inputs, Index hidden,
                 Index out) {
    const Value first = layers::linear(b, name + ".mlp.0", inputs, hidden, {.activation = Activation::silu});
    return layers::linear(b, name + ".mlp.2", {first}, out);
}

// m_ij = SiLU MLP([|r|², h_i, h_j, e_ij]): the first layer is linear, h's part is computed on nodes.
Value message(Builder& b, const std::string& name, Value h, Value radial, Value edge_feature, Index hidden) {
    const Index features = b.info(edge_feature).columns;
    const Index total = 1 + 2 * hidden + features;
    const Value weight = layers::linear_weight(b, name + ".mlp.0", hidden, total, {});
    const auto bias = layers::linear_bias(b, name + ".mlp.0", hidden, total, {});
    const ops::BlockLinear edge_map{
        hidden,
        {{0,
          0,
          1,
          hidden,
          {{0, 0, 0, {0, 1, total, 1, hidden}}, {1, 0, 0, {2 * hidden + 1, 1, total, features, hidden}}}}}};
    const Value first =
        ops::gather(b, {.at_receiver = ops::linear_part(b, h, weight, hidden, total, 1),
                        .at_sender = ops::linear_part(b, h, weight, hidden, total, hidden + 1),
                        .on_edge = ops::block_linear(b, {radial, edge_feature}, weight, edge_map, bias),
                        .activation = Activation::silu});
    return layers::linear(b, name + ".mlp.2", {first}, hidden, {.activation = Activation::silu});
}

} // namespace

EgnoMotion egno_time_convolution(Builder& b, const std::string& name, const EgnoMotion& m, Value mean,
                                 Index modes) {
    const Value centred = ops::add(b, {m.x, ops::scale(b, mean, -1)});
    const Value pairs = ops::permute(b, ops::concatenate(b, {centred, m.v}), {0, 3, 1, 4, 2, 5});
    const Value y =
        ops::permute(b, layers::time_convolution(b, name, pairs, {.modes = modes, .copies = 3, .bound = 0.1}),
                     {0, 2, 4, 1, 3, 5});
    return {ops::add(b, {m.x, ops::slice(b, y, 0, 3)}), ops::add(b, {m.v, ops::slice(b, y, 3, 3)})};
}

EgnoLayerState egno_layer(Builder& b, const std::string& name, Value h, Value x, Value velocity,
                          Value edge_feature, Index hidden) {
    // r_ij = x_i - x_j, i the receiver
    const Value difference = ops::gather(b, {.at_receiver = x, .at_sender = x, .sender_factor = -1});
    const Value m = message(b, name + ".edge_message_net.scalar_net", h,
                            ops::row_dot(b, difference, difference), edge_feature, hidden);
    const Value push = perceptron(b, name + ".coord_net", {m}, hidden, 1);
    const Value moved =
        ops::clamp(b, ops::mean_at_receiver(b, ops::scale_rows(b, difference, push)), coordinate_clamp);
    const Value drift = perceptron(b, name + ".node_v_net", {h}, hidden, 1);
    const Value new_x = ops::add(b, {x, ops::scale_rows(b, velocity, drift), moved});
    return {perceptron(b, name + ".node_net", {h, ops::sum_at_receiver(b, m)}, hidden, hidden), new_x};
}

std::vector<layers::SiteInfo> Egno::sites() const { return position_sites(settings_.layers); }

Value Egno::record(Recording& r) const {
    Builder& b = r.b;
    const Index hidden = settings_.hidden;
    const Index times = settings_.times;
    const Value position = r.input({"position", nodes, 3});
    const Value velocity = r.input({"velocity", nodes, 3});
    Value node_feature, edge_feature, mean;
    if (r.given_features) {
        node_feature = r.input({"node_feature", nodes, 2});
        edge_feature = r.input({"edge_feature", {Axis::edge, 1}, 2});
        mean = r.input({"position_mean", nodes, 3});
    } else {
        const Value difference =
            ops::gather(b, {.at_receiver = position, .at_sender = position, .sender_factor = -1});
        node_feature = ops::concatenate(b, {ops::row_norm(b, velocity), r.input({"height", nodes, 1})});
        edge_feature = ops::concatenate(
            b, {r.input({"kind", {Axis::edge, 1}, 1}), ops::row_dot(b, difference, difference)});
        mean = ops::to_nodes(b, ops::mean_over_graph(b, position));
    }
    const Value raw = ops::with_time_columns(b, node_feature, times,
                                             layers::time_embedding(times, settings_.time_features));
    edge_feature = ops::repeat_times(b, edge_feature, times);
    mean = ops::repeat_times(b, mean, times);
    EgnoMotion motion{ops::repeat_times(b, position, times), ops::repeat_times(b, velocity, times)};
    Value h = layers::linear(b, "embedding", {raw}, hidden);
    r.output("after_embedding", h);
    const auto scalars = symmetry::Representation::scalars(hidden);
    const auto vector = symmetry::Representation::vectors();
    Value q;
    if (r.sites.own_branches()) {
        q = feature_branch_start(b, raw, hidden);
        r.output("q_0", q);
    }
    const double bound = 1 / static_cast<double>(hidden * hidden);
    for (Index k = 0; k < settings_.layers; ++k) {
        const std::string layer = "layer" + std::to_string(k);
        const std::string out = "layer_" + std::to_string(k);
        const Value turned =
            layers::time_convolution(b, numbered("time_conv_modules", k) + ".t_conv.weights1", h,
                                     {.modes = settings_.modes, .bound = bound});
        h = ops::add(b, {h, ops::activation(b, turned, Activation::leaky_relu)});
        motion = egno_time_convolution(b, numbered("time_conv_x_modules", k) + ".t_conv.weights1", motion,
                                       mean, settings_.modes);
        r.output(out + "/h_after_time", h);
        r.output(out + "/x_after_time", motion.x);
        r.output(out + "/v_after_time", motion.v);
        const Value entering = motion.x;
        const EgnoLayerState next =
            egno_layer(b, numbered("layers", k), h, motion.x, motion.v, edge_feature, hidden);
        const std::vector<layers::Carried> state{{h, scalars}, {entering, vector}};
        h = r.sites.add(b, layer + ".h", {next.h, scalars}, state, [&] {
            q = feature_branch(b, k, q, hidden, r.training);
            r.output(out + "/free_h", q);
            return q;
        });
        motion.x = r.sites.add(b, layer + ".x", {next.x, vector}, state, [&] {
            const Value p = coordinate_branch(b, k, entering, hidden, r.training);
            r.output(out + "/free_x", p);
            return p;
        });
        r.output(out + "/h", h);
        r.output(out + "/x", motion.x);
    }
    r.output("h", h);
    r.output("velocity", motion.v);
    r.output("position", motion.x);
    return motion.x;
}

Work Egno::step_work(Index, Index node_count, Index edge_count, bool branches) const {
    const auto bodies = static_cast<double>(node_count);
    const auto t = static_cast<double>(settings_.times);
    const double n = t * bodies;
    const double e = t * static_cast<double>(edge_count);
    const auto d = static_cast<double>(settings_.hidden);
    const auto layers = static_cast<double>(settings_.layers);
    const auto parts = static_cast<double>(2 * settings_.modes - 1); // real numbers of the spectrum
    // Multiply-adds forward. Spectrum there and back, one complex product per frequency (4 real ones,
    // 1 at frequency 0); both halves of the first message layer and the velocity perceptron on nodes; the
    // edge's own columns, the second message layer and coord_net on edges; node_net not in the last layer,
    // which nothing reads. Time columns of the first maps are the same for all nodes.
    const double spectral = 2 * t * parts * d + (4 * static_cast<double>(settings_.modes) - 3) * d * d;
    const double node = 2 * d * d + d * d + d;
    const double edge = d + d * d + d * d + d;
    const double first = bodies * 2 * d + t * static_cast<double>(settings_.time_features) * d;
    double forward =
        first + layers * (bodies * spectral + n * node + e * edge + 2 * d * static_cast<double>(edge_count)) +
        (layers - 1) * n * 3 * d * d;
    const double columns = 2 + static_cast<double>(settings_.time_features);
    double parameters = columns * d + layers * (2 * static_cast<double>(settings_.modes) * d * d +
                                                (3 * d + 2 * d * d) + d * d + d * d + d * d + 3 * d * d);
    if (branches) {
        forward += first + layers * n * (9 + 6 * d) + (layers - 1) * n * d * d;
        parameters += columns * d + layers * (d * d + 10 * d);
    }
    // Every kept activation is written once and read once; parameters, gradient and moments once each way.
    const double kept = layers * (e * 3 * d + n * 6 * d);
    return {3 * 2 * forward, 4 * (2 * kept + 7 * parameters)};
}

namespace {

Key count_key(const char* name, Index standard, Index low, Index high, const char* meaning) {
    return {.name = name,
            .kind = Kind::integer,
            .standard = standard,
            .meaning = meaning,
            .low = static_cast<double>(low),
            .high = static_cast<double>(high)};
}

std::shared_ptr<const Model> from_job(const Settings& s, const OfferedFields& fields) {
    for (const char* name : {"height", "kind", "position_later"}) {
        (void)fields.one_of({name});
    }
    return std::make_shared<Egno>(EgnoSettings{s.integer("hidden"), s.integer("layers"), s.integer("times"),
                                               s.integer("modes"), s.integer("time_features")});
}

std::shared_ptr<const Model> from_published(const PublishedSettings& s, const OfferedFields&) {
    return std::make_shared<Egno>(EgnoSettings{s.integer("width"), s.integer("layers"), s.integer("T"),
                                               s.integer("modes"), s.integer("time_embedding")});
}

} // namespace

ModelEntry egno_entry() {
    return {
        .choice = {.chooser = "model.name",
                   .word = "egno",
                   .meaning = "E(n) message passing with convolutions along several output times; sites: two "
                              "per layer",
                   .keys = {width_key(128), layers_key(6),
                            count_key("times", 5, 1, 64, "output times, as many as the targets have"),
                            count_key("modes", 2, 1, 33, "lowest frequencies that are convolved along time"),
                            count_key("time_features", 32, 4, 1024, "sines and cosines of the time, even")}},
        .make = from_job,
        .make_published = from_published};
}

} // namespace tether::models
