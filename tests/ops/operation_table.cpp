#include "tests/ops/operation_table.hpp"

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

// A contraction like that of a tensor product: blocks of w channels, several terms on one output
// block, an input block read twice, an input block and an output block that no term touches.
ops::BilinearMap contraction(Index w) {
    ops::BilinearMap map{4 * w, {}};
    map.terms.push_back({0, 0, 0, w, 0.7});
    map.terms.push_back({0, w, 1, w, -1.3});
    map.terms.push_back({w, 0, 2, w, 0.4});
    map.terms.push_back({3 * w, 2 * w, 1, w, 2.1});
    map.terms.push_back({3 * w, 2 * w, 3, w, -0.6});
    return map; // output block 2 and input block 3 stay untouched
}

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

kernels::GateShape gate_shape(Index w) { return {w, w + 1, 3 * w + 5, 1.7, 1.9}; }
std::vector<kernels::GatedTerm> gated_terms(Index w) { return {{0, 0, 3, w}, {w, 3 * w, 5, 1}}; }

std::vector<ops::NormTerm> norm_terms(Index w) {
    return {{0, w, 1, true}, {w, 2, 1, true}, {w + 2, w, 3, false}, {4 * w + 2, 1, 5, false}};
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

// Parts of 3 numbers or 3 times to 2, with a row of zeros.
const ops::TimeMap three_to_two{2, 3, {0, 0, 0, 0.5, -1.5, 2}};
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

std::vector<WrongOperation> make_wrong() {
    std::vector<WrongOperation> t;
    const auto node = [](In& in, Index columns = 4) { return in.rows(Axis::node, columns); };
    const auto edge = [](In& in, Index columns = 4) { return in.rows(Axis::edge, columns); };
    t.push_back({"add/columns", [=](In& in) { ops::add(in.b, {node(in), node(in, 3)}); }});
    t.push_back({"add/extent", [=](In& in) { ops::add(in.b, {node(in), edge(in)}); }});
    t.push_back({"add/nothing", [](In& in) { ops::add(in.b, {}); }});
    t.push_back({"multiply/columns", [=](In& in) { ops::multiply(in.b, node(in), node(in, 5)); }});
    t.push_back({"scale_by/columns", [=](In& in) { ops::scale_by(in.b, node(in), in.parameter(2)); }});
    t.push_back({"scale_by/extent", [=](In& in) { ops::scale_by(in.b, node(in), node(in, 1)); }});
    t.push_back(
        {"gated_add/columns", [=](In& in) { ops::gated_add(in.b, node(in), in.parameter(1), node(in, 3)); }});
    t.push_back(
        {"gated_add/gate", [=](In& in) { ops::gated_add(in.b, node(in), in.parameter(2), node(in)); }});
    t.push_back(
        {"gated_add/gate_extent", [=](In& in) { ops::gated_add(in.b, node(in), node(in, 1), node(in)); }});
    t.push_back({"scale_rows/columns", [=](In& in) { ops::scale_rows(in.b, node(in), node(in, 2)); }});
    t.push_back({"scale_rows/extent", [=](In& in) { ops::scale_rows(in.b, node(in), edge(in, 1)); }});
    t.push_back({"row_dot/columns", [=](In& in) { ops::row_dot(in.b, node(in), node(in, 3)); }});
    t.push_back({"clamp/bound", [=](In& in) { ops::clamp(in.b, node(in), -1); }});
    t.push_back({"slice/end", [=](In& in) { ops::slice(in.b, node(in), 2, 3); }});
    t.push_back({"slice/begin", [=](In& in) { ops::slice(in.b, node(in), -1, 2); }});
    t.push_back({"slice/count", [=](In& in) { ops::slice(in.b, node(in), 2, -1); }});
    t.push_back({"place/end", [=](In& in) { ops::place(in.b, node(in), 2, 5); }});
    t.push_back({"concatenate/extent", [=](In& in) { ops::concatenate(in.b, {node(in), edge(in)}); }});
    t.push_back({"concatenate/nothing", [](In& in) { ops::concatenate(in.b, {}); }});
    t.push_back({"permute/twice", [=](In& in) { ops::permute(in.b, node(in), {0, 1, 1, 3}); }});
    t.push_back({"permute/length", [=](In& in) { ops::permute(in.b, node(in), {1, 0, 2}); }});
    t.push_back({"set_column/column", [=](In& in) { ops::set_column(in.b, node(in), 4, 1); }});
    t.push_back({"add_bias/columns", [=](In& in) { ops::add_bias(in.b, node(in), in.parameter(3)); }});
    t.push_back({"add_bias/rows", [=](In& in) { ops::add_bias(in.b, node(in), node(in)); }});
    t.push_back({"gram/one_row", [](In& in) { ops::gram(in.b, {in.parameter(3)}); }});
    t.push_back({"gram/extent", [=](In& in) { ops::gram(in.b, {node(in), edge(in)}); }});
    t.push_back({"column_sum/one_row", [](In& in) { ops::column_sum(in.b, in.parameter(3)); }});
    t.push_back({"linear/weight", [=](In& in) { ops::linear(in.b, {node(in)}, in.parameter(9), 2); }});
    t.push_back(
        {"linear/bias", [=](In& in) { ops::linear(in.b, {node(in)}, in.parameter(8), 2, in.parameter(3)); }});
    t.push_back({"linear/extent", [=](In& in) {
                     ops::linear(in.b, {node(in), edge(in)}, in.parameter(16), 2);
                 }});
    t.push_back(
        {"linear_part/first", [=](In& in) { ops::linear_part(in.b, node(in), in.parameter(10), 2, 5, 2); }});
    t.push_back(
        {"linear_part/weight", [=](In& in) { ops::linear_part(in.b, node(in), in.parameter(9), 2, 5, 0); }});
    t.push_back({"block_linear/nothing", [](In& in) {
                     ops::block_linear(in.b, {}, in.parameter(4), {2, {}});
                 }});
    t.push_back({"block_linear/output", [=](In& in) {
                     ops::block_linear(in.b, {node(in)}, in.parameter(12),
                                       {2, {{0, 0, 1, 3, Terms{{0, 0, 0, {0, 3, 1, 4, 3}}}}}});
                 }});
    t.push_back({"block_linear/input", [=](In& in) {
                     ops::block_linear(in.b, {node(in)}, in.parameter(12),
                                       {3, {{0, 0, 1, 3, Terms{{1, 0, 0, {0, 3, 1, 4, 3}}}}}});
                 }});
    t.push_back({"block_linear/columns", [=](In& in) {
                     ops::block_linear(in.b, {node(in)}, in.parameter(12),
                                       {3, {{0, 0, 1, 3, Terms{{0, 1, 0, {0, 3, 1, 4, 3}}}}}});
                 }});
    t.push_back({"block_linear/weights", [=](In& in) {
                     ops::block_linear(in.b, {node(in)}, in.parameter(12),
                                       {3, {{0, 0, 1, 3, Terms{{0, 0, 0, {1, 3, 1, 4, 3}}}}}});
                 }});
    t.push_back(
        {"bilinear/extent", [=](In& in) { ops::bilinear(in.b, node(in), edge(in), contraction(1)); }});
    t.push_back(
        {"bilinear/columns", [=](In& in) { ops::bilinear(in.b, node(in, 2), node(in), contraction(1)); }});
    t.push_back(
        {"bilinear/attributes", [=](In& in) { ops::bilinear(in.b, node(in), node(in, 3), contraction(1)); }});
    t.push_back({"bilinear/add", [=](In& in) {
                     ops::bilinear(in.b, node(in), node(in), contraction(1), {.add = node(in, 3)});
                 }});
    t.push_back({"bilinear/bias", [=](In& in) {
                     ops::bilinear(in.b, node(in), node(in), contraction(1), {.bias = in.parameter(5)});
                 }});
    t.push_back({"bilinear/overlap", [=](In& in) {
                     ops::bilinear(in.b, node(in), node(in), {4, {{0, 0, 0, 2, 1.0}, {1, 0, 0, 2, 1.0}}});
                 }});
    t.push_back({"gathered_bilinear/extent", [=](In& in) {
                     ops::gathered_bilinear(in.b, edge(in), node(in), {}, edge(in), contraction(1));
                 }});
    t.push_back({"gathered_bilinear/edge_part", [=](In& in) {
                     ops::gathered_bilinear(in.b, node(in), node(in), node(in), edge(in), contraction(1));
                 }});
    t.push_back({"gathered_bilinear/attributes", [=](In& in) {
                     ops::gathered_bilinear(in.b, node(in), node(in), {}, node(in), contraction(1));
                 }});
    t.push_back({"gathered_bilinear/columns", [=](In& in) {
                     ops::gathered_bilinear(in.b, node(in), node(in, 5), {}, edge(in), contraction(1));
                 }});
    t.push_back({"gate/columns", [=](In& in) { ops::gate(in.b, node(in), gate_shape(1), gated_terms(1)); }});
    t.push_back({"gate/terms", [=](In& in) {
                     ops::gate(in.b, node(in, 11), gate_shape(1), {{0, 6, 3, 1}});
                 }});
    t.push_back({"gather/nothing", [=](In& in) { ops::gather(in.b, {.on_edge = edge(in)}); }});
    t.push_back({"gather/extent", [=](In& in) { ops::at_receiver(in.b, edge(in)); }});
    t.push_back({"gather/edge_extent",
                 [=](In& in) { ops::gather(in.b, {.at_sender = node(in), .on_edge = node(in)}); }});
    t.push_back({"gather/columns",
                 [=](In& in) { ops::gather(in.b, {.at_receiver = node(in), .at_sender = node(in, 3)}); }});
    t.push_back({"gather/times", [=](In& in) {
                     ops::gather(in.b,
                                 {.at_receiver = node(in), .at_sender = in.rows(Axis::node, 4, {}, true, 2)});
                 }});
    t.push_back({"mix_times/parts", [=](In& in) { ops::mix_times(in.b, node(in), three_to_two, 1); }});
    t.push_back({"mix_times/entries", [=](In& in) { ops::mix_times(in.b, node(in), {2, 4, {1, 2, 3}}, 1); }});
    t.push_back({"mix_times/out_times", [=](In& in) { ops::mix_times(in.b, node(in, 3), three_to_two, 4); }});
    t.push_back(
        {"mix_times/one_row", [](In& in) { ops::mix_times(in.b, in.parameter(3), three_to_two, 1); }});
    t.push_back({"repeat_times/times",
                 [](In& in) { ops::repeat_times(in.b, in.rows(Axis::node, 4, {}, true, 2), 3); }});
    t.push_back({"last_times/count", [=](In& in) { ops::last_times(in.b, node(in), 2); }});
    t.push_back({"with_time_columns/table", [=](In& in) {
                     ops::with_time_columns(in.b, node(in), 2, {1, 2, 3});
                 }});
    t.push_back({"block_linear/overlap", [=](In& in) {
                     ops::block_linear(in.b, {node(in)}, in.parameter(12),
                                       {4,
                                        {{0, 0, 1, 3, Terms{{0, 0, 0, {0, 3, 1, 4, 3}}}},
                                         {2, 0, 1, 2, Terms{{0, 0, 0, {0, 3, 1, 4, 2}}}}}});
                 }});
    t.push_back({"sum_at_receiver/extent", [=](In& in) { ops::sum_at_receiver(in.b, node(in)); }});
    t.push_back({"sum_at_sender/extent", [=](In& in) { ops::sum_at_sender(in.b, node(in)); }});
    t.push_back({"mean_at_receiver/extent", [=](In& in) { ops::mean_at_receiver(in.b, node(in)); }});
    t.push_back({"sum_over_graph/extent", [=](In& in) { ops::sum_over_graph(in.b, edge(in)); }});
    t.push_back({"mean_over_graph/extent", [=](In& in) { ops::mean_over_graph(in.b, edge(in)); }});
    t.push_back({"to_nodes/extent", [=](In& in) { ops::to_nodes(in.b, node(in)); }});
    t.push_back({"nodes_side_by_side/extent", [=](In& in) { ops::nodes_side_by_side(in.b, edge(in), 6); }});
    t.push_back({"nodes_side_by_side/room", [=](In& in) { ops::nodes_side_by_side(in.b, node(in), 0); }});
    t.push_back({"split_to_nodes/extent", [=](In& in) { ops::split_to_nodes(in.b, node(in), 2); }});
    t.push_back(
        {"split_to_nodes/columns", [](In& in) { ops::split_to_nodes(in.b, in.rows(Axis::graph, 7), 2); }});
    t.push_back({"layer_norm/one_row", [](In& in) { ops::layer_norm(in.b, in.parameter(3), 1e-5); }});
    t.push_back({"layer_norm/eps", [=](In& in) { ops::layer_norm(in.b, node(in), 0); }});
    t.push_back({"attention/columns", [=](In& in) { ops::attention(in.b, node(in, 12), {3, 1, 3}); }});
    t.push_back({"attention/heads", [=](In& in) { ops::attention(in.b, node(in, 21), {3, 2, 3}); }});
    t.push_back({"attention/extent", [=](In& in) { ops::attention(in.b, edge(in, 15), {3, 1, 3}); }});
    t.push_back({"spherical_harmonics/columns",
                 [=](In& in) { ops::spherical_harmonics(in.b, node(in), 2, kernels::Normalisation::norm); }});
    t.push_back({"spherical_harmonics/degree", [=](In& in) {
                     ops::spherical_harmonics(in.b, node(in, 3), 7, kernels::Normalisation::norm);
                 }});
    t.push_back({"instance_norm/weights", [=](In& in) {
                     ops::instance_norm(in.b, node(in, 11), in.parameter(4), in.parameter(3), norm_terms(1),
                                        1e-5);
                 }});
    t.push_back({"instance_norm/columns", [=](In& in) {
                     ops::instance_norm(in.b, node(in, 10), in.parameter(5), in.parameter(3), norm_terms(1),
                                        1e-5);
                 }});
    t.push_back({"instance_norm/extent", [=](In& in) {
                     ops::instance_norm(in.b, edge(in, 11), in.parameter(5), in.parameter(3), norm_terms(1),
                                        1e-5);
                 }});
    t.push_back({"batch_norm/columns", [=](In& in) {
                     ops::batch_norm(in.b, node(in), in.parameter(4), in.parameter(3),
                                     {in.state({4}, {}), in.state({4}, {}), in.state({}, {})}, {});
                 }});
    t.push_back({"divide_by_spectral_norm/shape", [](In& in) {
                     ops::divide_by_spectral_norm(in.b, in.rows(Axis::node, 3), in.parameter(6),
                                                  in.state({3}, {}), in.state({3}, {}), 3, 2, 1);
                 }});
    t.push_back({"squared_error/columns", [=](In& in) {
                     ops::squared_error(in.b, node(in), in.fixed(Axis::node, 3), in.control(1));
                 }});
    t.push_back({"squared_error/factor",
                 [=](In& in) { ops::squared_error(in.b, node(in), in.fixed(Axis::node, 4), node(in)); }});
    t.push_back({"absolute_error/extent", [=](In& in) {
                     ops::absolute_error(in.b, node(in), in.fixed(Axis::edge, 4), in.control(1));
                 }});
    t.push_back({"inner_product/columns", [=](In& in) { ops::inner_product(in.b, node(in), node(in, 3)); }});
    t.push_back({"inner_product/one_row",
                 [](In& in) { ops::inner_product(in.b, in.parameter(3), in.parameter(3)); }});
    return t;
}

} // namespace

const std::vector<OperationCase>& operation_table() {
    static const std::vector<OperationCase> table = make_table();
    return table;
}

const std::vector<WrongOperation>& wrong_operations() {
    static const std::vector<WrongOperation> table = make_wrong();
    return table;
}

} // namespace tether::test
