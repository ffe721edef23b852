// Recordings that every operation must refuse.
#include "tests/ops/operation_shapes.hpp"
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

namespace tether::test {
namespace {

using In = OperationInputs;
using Terms = std::vector<ops::BlockTerm>;

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

const std::vector<WrongOperation>& wrong_operations() {
    static const std::vector<WrongOperation> table = make_wrong();
    return table;
}

} // namespace tether::test
