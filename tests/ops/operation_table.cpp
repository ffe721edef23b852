#include "tests/ops/operation_table.hpp"

#include "tests/ops/operation_shapes.hpp"

#include "tether/ops/attention.hpp"
#include "tether/ops/bilinear.hpp"
#include "tether/ops/block_linear.hpp"
#include "tether/ops/elementwise.hpp"
#include "tether/ops/gate.hpp"
#include "tether/ops/gram.hpp"
#include "tether/ops/graph.hpp"
#include "tether/ops/harmonics.hpp"
#include "tether/ops/loss.hpp"
#include "tether/ops/norms.hpp"
#include "tether/ops/times.hpp"

#include <array>
#include <cmath>
#include <utility>

namespace tether::test {

std::string OperationInputs::next(const char* what) { return what + std::to_string(made_++); }

Value OperationInputs::rows(Axis axis, Index columns, Law law, bool gradient, Index times) {
    const std::string name = next("field");
    laws[name] = std::move(law);
    return b.input(name, {axis, times}, columns, gradient);
}

Value OperationInputs::parameter(Index size, Law law) {
    const std::string name = next("parameter");
    laws[name] = std::move(law);
    return b.parameter({.name = name, .shape = {size}, .initial = Initial::constant(0)});
}

Value OperationInputs::control(double value) {
    controls.push_back(value);
    return b.control(next("control"));
}

Value OperationInputs::state(std::vector<Index> shape, Law law) {
    const std::string name = next("state");
    laws[name] = std::move(law);
    return b.state({.name = name, .shape = std::move(shape)});
}

namespace {

using In = OperationInputs;
using Terms = std::vector<ops::BlockTerm>;

double from_kink(double u) { return u < 0 ? u - 0.05 : u + 0.05; } // away from 0
double wide(double u) { return 5 * u; }
double positive(double u) { return 1.1 + u; }
double from_clamp(double u) { // away from ±0.5
    const double size = std::abs(u) < 0.5 ? 0.9 * std::abs(u) : 0.05 + std::abs(u);
    return u < 0 ? -size : size;
}

constexpr std::array activations{
    std::pair{Activation::silu, "silu"},       std::pair{Activation::gelu, "gelu"},
    std::pair{Activation::sigmoid, "sigmoid"}, std::pair{Activation::tanh, "tanh"},
    std::pair{Activation::relu, "relu"},       std::pair{Activation::leaky_relu, "leaky_relu"},
    std::pair{Activation::none, "none"}};

// Three irreps-like blocks: shared weights over components, two inputs, a view with its rows and
// columns exchanged, uncovered output columns.
Value blocks(In& in, Activation activation, bool biased) {
    const Index n = in.width;
    const Value x = in.rows(Axis::node, 4 * n); // n scalars, n vectors (component-major)
    const Value y = in.rows(Axis::node, n + 2);
    const Value weight = in.parameter(n * (n + 1) * 2 + n * 3 + (n + 2) * (n + 1));
    const Index second = n * (n + 1);
    const Index third = second + 3 * n;
    ops::BlockLinear map{(n + 1) + 3 * 3 + 2, {}};
    map.blocks.push_back({0, 0, 1, n + 1,
                          Terms{{0, 0, 0, {0, n + 1, 1, n, n + 1}},
                                {1, 0, 0, {third, 1, n + 2, n + 2, n + 1}}}}); // [out, in] as a Linear
    map.blocks.push_back({n + 1, 3, 3, 3, Terms{{0, n, n, {second, 3, 1, n, 3}}}});
    return ops::block_linear(in.b, {x, y}, weight, map,
                             biased ? std::optional(in.parameter(n + 1)) : std::nullopt, activation);
}

Value batch_norm(In& in, bool training, Index times = 1) {
    const Index n = in.width;
    const Value x = in.rows(
        Axis::node, n, [](double u) { return 0.4 + u; }, true, times);
    const ops::BatchNormState state{in.state({n}, {}), in.state({n}, positive),
                                    in.state({}, [](double) { return 3.0; })};
    return ops::batch_norm(in.b, x, in.parameter(n), in.parameter(n), state,
                           {.eps = 1e-2, .training = training});
}

Value spectral(In& in, int iterations) {
    const Index n = in.width;
    const Value weight = in.parameter((n + 1) * n, positive); // and so sigma is not near zero
    return ops::divide_by_spectral_norm(in.b, ops::linear(in.b, {in.rows(Axis::node, n)}, weight, n + 1),
                                        weight, in.state({n + 1}, positive), in.state({n}, positive), n + 1,
                                        n, iterations);
}

// All of in[0], and differences to it.
const ops::TimeMap by_differences{3, 3, {1, 0, 0, 0, 0.7, -1.1, 0.2, 0, 1.3}, true};

std::vector<OperationCase> make_table() {
    std::vector<OperationCase> t;
    const auto node = [](In& in) { return in.rows(Axis::node, in.width); };
    const auto edge = [](In& in) { return in.rows(Axis::edge, in.width); };

    t.push_back({"add/two", [=](In& in) { return ops::add(in.b, {node(in), node(in)}); }});
    t.push_back({"add/three", [=](In& in) { return ops::add(in.b, {edge(in), edge(in), edge(in)}); }});
    t.push_back({"add/many", [=](In& in) {
                     const Value x = node(in); // twice: its gradient is a sum as well
                     return ops::add(in.b, {x, node(in), node(in), x, node(in)});
                 }});
    t.push_back({"multiply", [=](In& in) { return ops::multiply(in.b, edge(in), edge(in)); }});
    t.push_back({"multiply/square", [=](In& in) {
                     const Value x = node(in);
                     return ops::multiply(in.b, x, x);
                 }});
    t.push_back({"scale", [=](In& in) { return ops::scale(in.b, node(in), -1.7); }});
    t.push_back({"scale_by/parameter",
                 [=](In& in) { return ops::scale_by(in.b, node(in), in.parameter(1)); },
                 {"scalar_gradient"}});
    t.push_back({"scale_by/control", [=](In& in) { return ops::scale_by(in.b, edge(in), in.control(0.3)); }});
    t.push_back({"gated_add/parameter",
                 [=](In& in) { return ops::gated_add(in.b, node(in), in.parameter(1), node(in)); }});
    t.push_back({"gated_add/control",
                 [=](In& in) { return ops::gated_add(in.b, node(in), in.control(-0.8), node(in)); }});
    t.push_back(
        {"scale_rows", [=](In& in) { return ops::scale_rows(in.b, edge(in), in.rows(Axis::edge, 1)); }});
    t.push_back({"row_dot", [=](In& in) { return ops::row_dot(in.b, node(in), node(in)); }});
    t.push_back({"row_dot/square", [=](In& in) {
                     const Value x = edge(in);
                     return ops::row_dot(in.b, x, x);
                 }});
    t.push_back(
        {"row_norm", [](In& in) { return ops::row_norm(in.b, in.rows(Axis::node, in.width, from_kink)); }});
    for (const auto& [kind, name] : activations) {
        const Activation k = kind;
        // Slopes next to saturation are differences of numbers near 1 in float: not asked for here.
        const bool saturates = k == Activation::tanh || k == Activation::sigmoid;
        const bool kinked = k == Activation::relu || k == Activation::leaky_relu;
        const Law law = kinked ? Law(from_kink) : (saturates ? Law{} : Law(wide));
        t.push_back({std::string("activation/") + name,
                     [=](In& in) { return ops::activation(in.b, in.rows(Axis::node, in.width, law), k); }});
    }
    t.push_back(
        {"clamp", [](In& in) { return ops::clamp(in.b, in.rows(Axis::edge, in.width, from_clamp), 0.5); }});
    t.push_back(
        {"slice", [](In& in) { return ops::slice(in.b, in.rows(Axis::node, in.width + 3), 2, in.width); }});
    t.push_back({"place", [=](In& in) { return ops::place(in.b, node(in), 1, in.width + 4); }});
    t.push_back({"concatenate", [=](In& in) {
                     return ops::concatenate(
                         in.b, {node(in), in.rows(Axis::node, 1), in.rows(Axis::node, in.width + 2)});
                 }});
    t.push_back({"permute", [=](In& in) {
                     std::vector<Index> order;
                     for (Index c = 0; c < in.width; ++c) { // not its own inverse
                         order.push_back((c + 2) % in.width);
                     }
                     return ops::permute(in.b, node(in), order);
                 }});
    t.push_back({"set_column", [=](In& in) { return ops::set_column(in.b, node(in), in.width / 2, 3.0); }});
    t.push_back({"add_bias",
                 [=](In& in) { return ops::add_bias(in.b, node(in), in.parameter(in.width)); },
                 {"bias_gradient"}});
    t.push_back(
        {"column_sum", [=](In& in) { return ops::column_sum(in.b, edge(in)); }, {}, {1, 3, 8, 21}, false});
    t.push_back({"gram",
                 [=](In& in) {
                     const Value x = edge(in);
                     return ops::gram(in.b, {x, in.rows(Axis::edge, 2 * in.width + 1)});
                 },
                 {},
                 {1, 3, 8, 40},
                 false});

    t.push_back({"linear",
                 [=](In& in) {
                     return ops::linear(in.b, {node(in)}, in.parameter(in.width * (in.width + 2)),
                                        in.width + 2, in.parameter(in.width + 2));
                 },
                 {},
                 {1, 3, 16, 37}});
    t.push_back({"linear/several", [=](In& in) {
                     const Value x = edge(in);
                     const Value y = in.rows(Axis::edge, 3);
                     return ops::linear(in.b, {x, y, x}, in.parameter(33 * (2 * in.width + 3)), 33,
                                        in.parameter(33), Activation::silu);
                 }});
    t.push_back({"linear/one_column",
                 [=](In& in) { return ops::linear(in.b, {node(in)}, in.parameter(in.width), 1); }});
    t.push_back({"linear/gelu", [=](In& in) {
                     return ops::linear(in.b, {node(in)}, in.parameter(in.width * 5), 5, in.parameter(5),
                                        Activation::gelu);
                 }});
    t.push_back({"linear/shared", [=](In& in) { // one weight used twice: its gradient is a sum of two
                     const Value weight = in.parameter(in.width * 4);
                     const Value bias = in.parameter(4);
                     return ops::add(in.b, {ops::linear(in.b, {node(in)}, weight, 4, bias),
                                            ops::linear(in.b, {node(in)}, weight, 4, bias)});
                 }});
    t.push_back({"linear_part", [=](In& in) { // two halves of one weight
                     const Value weight = in.parameter(7 * (in.width + 4));
                     const Value first =
                         ops::linear_part(in.b, node(in), weight, 7, in.width + 4, 0, in.parameter(7));
                     return ops::add(in.b, {first, ops::linear_part(in.b, in.rows(Axis::node, 4), weight, 7,
                                                                    in.width + 4, in.width)});
                 }});
    t.push_back({"block_linear", [](In& in) { return blocks(in, Activation::none, true); }});
    t.push_back({"block_linear/no_bias", [](In& in) { return blocks(in, Activation::none, false); }});
    t.push_back({"block_linear/tanh", [](In& in) { return blocks(in, Activation::tanh, true); }});

    t.push_back({"bilinear",
                 [](In& in) {
                     return ops::bilinear(in.b, in.rows(Axis::node, 4 * in.width), in.rows(Axis::node, 4),
                                          contraction(in.width));
                 },
                 {},
                 {1, 3, 8, 45}});
    t.push_back({"bilinear/add_and_bias", [](In& in) {
                     return ops::bilinear(
                         in.b, in.rows(Axis::node, 4 * in.width), in.rows(Axis::node, 4),
                         contraction(in.width),
                         {.add = in.rows(Axis::node, 4 * in.width), .bias = in.parameter(in.width)});
                 }});
    t.push_back({"bilinear/bias", [](In& in) {
                     return ops::bilinear(in.b, in.rows(Axis::edge, 4 * in.width), in.rows(Axis::edge, 4),
                                          contraction(in.width), {.bias = in.parameter(in.width)});
                 }});
    t.push_back({"gathered_bilinear",
                 [](In& in) {
                     return ops::gathered_bilinear(in.b, in.rows(Axis::node, 4 * in.width),
                                                   in.rows(Axis::node, 4 * in.width),
                                                   in.rows(Axis::edge, 4 * in.width), in.rows(Axis::edge, 4),
                                                   contraction(in.width), {.bias = in.parameter(in.width)});
                 },
                 {},
                 {1, 3, 8, 21}});
    t.push_back({"gathered_bilinear/narrow_edge_part", [](In& in) { // stands for its first columns
                     return ops::gathered_bilinear(
                         in.b, in.rows(Axis::node, 4 * in.width), in.rows(Axis::node, 4 * in.width),
                         in.rows(Axis::edge, in.width), in.rows(Axis::edge, 4), contraction(in.width));
                 }});
    t.push_back({"gathered_bilinear/two_parts", [](In& in) {
                     const Value x = in.rows(Axis::node, 4 * in.width); // the same rows at both ends
                     return ops::gathered_bilinear(in.b, x, x, {}, in.rows(Axis::edge, 4),
                                                   contraction(in.width),
                                                   {.add = in.rows(Axis::edge, 4 * in.width)});
                 }});

    t.push_back({"gate", [](In& in) {
                     const auto shape = gate_shape(in.width);
                     return ops::gate(in.b,
                                      in.rows(Axis::node, shape.scalars + shape.gates + shape.gated, wide),
                                      shape, gated_terms(in.width));
                 }});
    t.push_back({"at_receiver", [=](In& in) { return ops::at_receiver(in.b, node(in)); }});
    t.push_back({"at_sender", [=](In& in) { return ops::at_sender(in.b, node(in)); }});
    t.push_back({"gather", [=](In& in) {
                     return ops::gather(in.b, {.at_receiver = node(in),
                                               .at_sender = node(in),
                                               .on_edge = edge(in),
                                               .receiver_factor = 0.5,
                                               .sender_factor = -1,
                                               .activation = Activation::silu});
                 }});
    t.push_back({"gather/difference", [=](In& in) {
                     const Value x = node(in);
                     return ops::gather(in.b, {.at_receiver = x, .at_sender = x, .sender_factor = -1});
                 }});
    t.push_back({"gather/sender_and_edge", [=](In& in) {
                     return ops::gather(in.b, {.at_sender = node(in),
                                               .on_edge = edge(in),
                                               .sender_factor = 2,
                                               .activation = Activation::gelu});
                 }});
    const auto nodes_at = [](In& in, Index times) { return in.rows(Axis::node, in.width, {}, true, times); };
    const auto edges_at = [](In& in, Index times) { return in.rows(Axis::edge, in.width, {}, true, times); };
    t.push_back({"gather/times", [=](In& in) {
                     const Value x = nodes_at(in, 3);
                     return ops::gather(in.b, {.at_receiver = x,
                                               .at_sender = x,
                                               .on_edge = edges_at(in, 3),
                                               .sender_factor = -1,
                                               .activation = Activation::silu});
                 }});
    t.push_back(
        {"sum_at_receiver/times", [=](In& in) { return ops::sum_at_receiver(in.b, edges_at(in, 2)); }});
    t.push_back({"sum_at_sender/times", [=](In& in) { return ops::sum_at_sender(in.b, edges_at(in, 2)); }});
    t.push_back(
        {"mean_at_receiver/times", [=](In& in) { return ops::mean_at_receiver(in.b, edges_at(in, 2)); }});
    t.push_back(
        {"mean_over_graph/times", [=](In& in) { return ops::mean_over_graph(in.b, nodes_at(in, 4)); }});
    t.push_back({"to_nodes/times",
                 [](In& in) { return ops::to_nodes(in.b, in.rows(Axis::graph, in.width, {}, true, 3)); }});
    t.push_back(
        {"mix_times", [=](In& in) { return ops::mix_times(in.b, nodes_at(in, 3), three_to_two, 2); }});
    t.push_back({"mix_times/columns", [=](In& in) { // parts that are columns, out as one row
                     return ops::mix_times(in.b, in.rows(Axis::edge, 3 * in.width), three_to_two, 1);
                 }});
    t.push_back({"mix_times/differences",
                 [=](In& in) { return ops::mix_times(in.b, nodes_at(in, 3), by_differences, 1); }});
    t.push_back({"repeat_times", [=](In& in) { return ops::repeat_times(in.b, node(in), 4); }});
    t.push_back({"last_times", [=](In& in) { return ops::last_times(in.b, nodes_at(in, 4), 2); }});
    t.push_back({"with_time_columns", [=](In& in) {
                     return ops::with_time_columns(in.b, node(in), 3, {0.1, -2, 0.3, 0.4, 5, 0.6});
                 }});
    t.push_back({"sum_at_receiver", [=](In& in) { return ops::sum_at_receiver(in.b, edge(in)); }});
    t.push_back({"sum_at_sender", [=](In& in) { return ops::sum_at_sender(in.b, edge(in)); }});
    t.push_back({"mean_at_receiver", [=](In& in) { return ops::mean_at_receiver(in.b, edge(in)); }});
    t.push_back({"sum_over_graph", [=](In& in) { return ops::sum_over_graph(in.b, node(in)); }});
    t.push_back({"mean_over_graph", [=](In& in) { return ops::mean_over_graph(in.b, node(in)); }});
    t.push_back({"to_nodes", [](In& in) { return ops::to_nodes(in.b, in.rows(Axis::graph, in.width)); }});
    t.push_back({"nodes_side_by_side", [=](In& in) { // the largest graph of the batches, and one more
                     return ops::nodes_side_by_side(in.b, node(in), 6);
                 }});
    t.push_back({"split_to_nodes", [](In& in) {
                     return ops::split_to_nodes(in.b, in.rows(Axis::graph, 5 * in.width), in.width);
                 }});

    for (const auto normalisation : {kernels::Normalisation::component, kernels::Normalisation::norm,
                                     kernels::Normalisation::integral}) {
        t.push_back({"spherical_harmonics/" + std::to_string(static_cast<int>(normalisation)),
                     [=](In& in) {
                         return ops::spherical_harmonics(in.b, in.rows(Axis::edge, 3, from_kink),
                                                         static_cast<int>(in.width), normalisation);
                     },
                     {},
                     {0, 1, 2, 3, 6}});
    }
    t.push_back({"instance_norm", [](In& in) {
                     const Index w = in.width;
                     return ops::instance_norm(in.b, in.rows(Axis::node, 4 * w + 7), in.parameter(2 * w + 3),
                                               in.parameter(w + 2), norm_terms(w), 1e-2);
                 }});
    t.push_back(
        {"layer_norm", [=](In& in) { return ops::layer_norm(in.b, node(in), 1e-2); }, {}, {1, 3, 8, 21, 40}});
    t.push_back({"attention/multi_query",
                 [](In& in) {
                     const kernels::AttentionShape shape{3, 1, in.width};
                     return ops::attention(in.b, in.rows(Axis::node, shape.columns(), wide), shape);
                 },
                 {},
                 {1, 3, 8, 18}});
    t.push_back({"attention/multi_head",
                 [](In& in) {
                     const kernels::AttentionShape shape{2, 2, in.width};
                     return ops::attention(in.b, in.rows(Axis::node, shape.columns()), shape);
                 },
                 {},
                 {1, 3, 8, 18}});
    t.push_back({"batch_norm", [](In& in) { return batch_norm(in, true); }});
    t.push_back({"batch_norm/times", [](In& in) { return batch_norm(in, true, 3); }});
    t.push_back({"batch_norm/evaluation", [](In& in) { return batch_norm(in, false); }});
    // Evaluation: u and v do not depend on the weight, so that differences see the whole slope.
    t.push_back({"divide_by_spectral_norm", [](In& in) { return spectral(in, 0); }});

    t.push_back({"squared_error", [=](In& in) {
                     return ops::squared_error(in.b, node(in), in.fixed(Axis::node, in.width),
                                               in.control(0.125));
                 }});
    t.push_back({"absolute_error", [](In& in) {
                     const auto small = [](double u) { return 0.02 * u; };
                     return ops::absolute_error(in.b, in.rows(Axis::graph, in.width, from_kink),
                                                in.fixed(Axis::graph, in.width, small), in.control(0.5));
                 }});
    t.push_back({"inner_product", [=](In& in) { return ops::inner_product(in.b, edge(in), edge(in)); }});
    return t;
}

} // namespace

const std::vector<OperationCase>& operation_table() {
    static const std::vector<OperationCase> table = make_table();
    return table;
}

} // namespace tether::test
