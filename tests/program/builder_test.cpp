// The recorder: what is shared by name, what is refused, what stays in a finished program, what the
// loss reaches, and how needs_gradient travels.
#include "tests/program/toy_ops.hpp"
#include "tether/core/error.hpp"
#include "tether/program/builder.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace tether::test {
namespace {

const Extent nodes{Axis::node, 1};

class BuilderTest : public testing::Test {
protected:
    Value parameter(const std::string& name, Index size) {
        return b.parameter({.name = name, .shape = {size}, .initial = Initial::constant(1)});
    }
    static std::string refused(const std::function<void()>& record) {
        try {
            record();
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ExitCode::usage);
            return error.what();
        }
        return "accepted";
    }
    ParameterSet parameters;
    StateSet states;
    Builder b{parameters, states};
};

TEST_F(BuilderTest, things_of_one_name_are_one_thing) {
    EXPECT_EQ(b.input("x", nodes, 3), b.input("x", nodes, 3));
    EXPECT_EQ(parameter("w", 4), parameter("w", 4));
    EXPECT_EQ(b.control("lr"), b.control("lr"));
    EXPECT_EQ(b.state({.name = "mean", .shape = {2}}), b.state({.name = "mean", .shape = {2}}));
    const Program p = b.finish();
    EXPECT_EQ(p.fields, std::vector<std::string>{"x"});
    EXPECT_EQ(p.controls, std::vector<std::string>{"lr"});
    EXPECT_EQ(p.control_number("lr"), 0);
    EXPECT_EQ(p.control_number("gate0"), -1);
    EXPECT_EQ(parameters.size(), 4);
    EXPECT_EQ(states.size(), 2);
}

TEST_F(BuilderTest, programs_of_one_model_share_parameters) {
    const Value w = parameter("w", 4);
    const Value u = parameter("u", 3);
    Builder other(parameters, states);
    const Value again = other.parameter({.name = "u", .shape = {3}, .initial = Initial::constant(1)});
    EXPECT_EQ(b.info(u).offset, 4);
    EXPECT_EQ(other.info(again).offset, 4);
    EXPECT_EQ(b.info(w).offset, 0);
    EXPECT_EQ(parameters.size(), 7);
}

TEST_F(BuilderTest, contradictions_are_refused_with_a_message) {
    b.input("x", nodes, 3);
    EXPECT_NE(refused([&] { b.input("x", nodes, 4); }).find("field x"), std::string::npos);
    EXPECT_NE(refused([&] { b.input("x", {Axis::edge, 1}, 3); }).find("field x"), std::string::npos);
    parameter("w", 4);
    EXPECT_NE(refused([&] { parameter("w", 5); }).find("parameter w"), std::string::npos);
    EXPECT_NE(refused([&] {
                  b.parameter({.name = "p", .shape = {4}, .initial = {}, .published = {0, 1}});
              }).find("parameter p"),
              std::string::npos);
    b.state({.name = "mean", .shape = {2}});
    EXPECT_NE(refused([&] { b.state({.name = "mean", .shape = {3}}); }).find("buffer mean"),
              std::string::npos);
    const Value x = b.input("x", nodes, 3);
    EXPECT_NE(refused([&] { b.next_state(x); }).find("no state"), std::string::npos);
    EXPECT_NE(refused([&] { b.sum("loss", x); }).find("loss"), std::string::npos);
    EXPECT_NE(refused([&] { b.differentiate(x); }).find("scalar"), std::string::npos);
    const Value y = toy::record(b, "forward_only", {b.input("x", nodes, 3), parameter("w", 4)}, nodes, 3);
    const Value loss = toy::record(b, "loss", {y}, {Axis::one, 1}, 1);
    EXPECT_NE(refused([&] { b.differentiate(loss); }).find("forward_only"), std::string::npos)
        << "an operation without a reverse rule is named";
}

TEST_F(BuilderTest, a_wrong_reverse_rule_is_refused) {
    // `sum` gives its inputs a gradient as rows; a parameter's belongs into the gradient vector.
    const Value x = b.input("x", {Axis::one, 1}, 3, true);
    const Value loss = toy::record(
        b, "loss", {toy::record(b, "sum", {x, parameter("w", 3)}, {Axis::one, 1}, 3)}, {Axis::one, 1}, 1);
    EXPECT_NE(refused([&] { b.differentiate(loss); }).find("reverse rule of sum"), std::string::npos);
}

TEST_F(BuilderTest, a_program_is_differentiated_once) {
    const Value loss = toy::record(
        b, "loss", {toy::record(b, "weight", {b.input("x", nodes, 3), parameter("w", 3)}, nodes, 3)},
        {Axis::one, 1}, 1);
    b.differentiate(loss);
    EXPECT_NE(refused([&] { b.differentiate(loss); }).find("once"), std::string::npos);
}

TEST_F(BuilderTest, needs_gradient_travels_from_inputs_and_parameters) {
    const Value plain = b.input("plain", nodes, 2);
    const Value wanted = b.input("wanted", nodes, 2, true);
    const Value w = parameter("w", 2);
    const auto needs = [&](std::vector<Value> in) {
        return b.info(toy::record(b, "sum", std::move(in), nodes, 2)).needs_gradient;
    };
    EXPECT_FALSE(needs({plain, plain}));
    EXPECT_FALSE(needs({plain, b.control("factor")}));
    EXPECT_FALSE(needs({plain, b.state({.name = "s", .shape = {2}})}));
    EXPECT_TRUE(needs({plain, wanted}));
    EXPECT_TRUE(needs({w}));
    const Value chain = toy::record(b, "sum", {toy::record(b, "sum", {plain, w}, nodes, 2), plain}, nodes, 2);
    EXPECT_TRUE(b.info(chain).needs_gradient);
}

TEST_F(BuilderTest, nothing_is_reversed_that_nobody_wants) {
    const Value x = b.input("x", nodes, 3); // no gradient wanted
    const Value y = toy::record(b, "sum", {x, x}, nodes, 3);
    const Value z = toy::record(b, "weight", {y, parameter("w", 3)}, nodes, 3);
    const Value loss = toy::record(b, "loss", {z}, {Axis::one, 1}, 1);
    b.sum("loss", loss);
    b.differentiate(loss);
    EXPECT_FALSE(b.gradient_of(x).valid());
    EXPECT_FALSE(b.gradient_of(y).valid()) << "nothing before the parameter needs a gradient";
    EXPECT_TRUE(b.gradient_of(z).valid());
}

TEST_F(BuilderTest, several_contributions_are_added_in_order) {
    const Value x = b.input("x", nodes, 3, true);
    const Value y = toy::record(b, "sum", {x, x, x}, nodes, 3);
    const Value loss = toy::record(b, "loss", {y}, {Axis::one, 1}, 1);
    b.differentiate(loss);
    const Value g = b.gradient_of(x);
    ASSERT_TRUE(g.valid());
    b.output("g", g);
    const Program p = b.finish();
    const auto add = std::ranges::find_if(p.nodes, [&](const Node& n) { return n.out.front() == g; });
    ASSERT_NE(add, p.nodes.end());
    EXPECT_EQ(add->op->name(), "add");
    EXPECT_EQ(add->in.size(), 3U);
}

TEST_F(BuilderTest, nodes_without_use_are_dropped) {
    const Value x = b.input("x", nodes, 3);
    const Value kept = toy::record(b, "sum", {x}, nodes, 3);
    const Value dropped = toy::record(b, "weight", {kept, parameter("unused", 3)}, nodes, 3);
    toy::record(b, "sum", {dropped}, nodes, 3);
    const Value y = toy::record(b, "sum", {kept, kept}, nodes, 3);
    b.output("y", y);
    const Program p = b.finish();
    ASSERT_EQ(p.nodes.size(), 2U);
    EXPECT_EQ(p.nodes[0].out.front(), kept);
    EXPECT_EQ(p.nodes[1].out.front(), y);
    EXPECT_EQ(p.forward_nodes, 2U);
    EXPECT_EQ(p.part_nodes, 2U);
}

TEST_F(BuilderTest, unused_outputs_of_kept_nodes_are_not_computed) {
    const Value x = b.input("x", nodes, 3);
    const auto both = b.append_all(std::make_shared<toy::Toy>("pair"), {x}, {{nodes, 3}, {nodes, 3}});
    b.output("first", both[0]);
    const Program p = b.finish();
    ASSERT_EQ(p.nodes.size(), 1U);
    EXPECT_TRUE(p.nodes[0].out[0].valid());
    EXPECT_FALSE(p.nodes[0].out[1].valid());
}

TEST_F(BuilderTest, nodes_that_keep_state_or_gradients_stay) {
    const Value state = b.state({.name = "mean", .shape = {3}});
    b.append_into(std::make_shared<toy::Toy>("statistics"), {b.input("x", nodes, 3)}, {b.next_state(state)});
    const Program p = b.finish();
    EXPECT_EQ(p.nodes.size(), 1U);
}

TEST_F(BuilderTest, reached_parameters_are_merged_ranges) {
    parameter("first", 2); // not used at all
    const Value a = parameter("a", 3);
    const Value c = parameter("c", 4);
    parameter("gap", 1);
    const Value d = parameter("d", 3);
    const Value behind = parameter("behind", 3); // used, but behind the loss
    const Value x = b.input("x", nodes, 3);
    Value y = toy::record(b, "weight", {x, a}, nodes, 3);
    y = toy::record(b, "weight", {y, c}, nodes, 3);
    y = toy::record(b, "weight", {y, d}, nodes, 3);
    const Value loss = toy::record(b, "loss", {y}, {Axis::one, 1}, 1);
    b.sum("loss", loss);
    b.output("other", toy::record(b, "weight", {y, behind}, nodes, 3));
    b.differentiate(loss);
    const Program p = b.finish();
    const std::vector<std::pair<Index, Index>> expected{{2, 9}, {10, 13}};
    EXPECT_EQ(p.reached, expected);
}

TEST_F(BuilderTest, views_of_weights_are_packed_once) {
    const WeightView view{0, 1, 4, 4, 2};
    const WeightView other{0, 4, 1, 2, 4};
    EXPECT_EQ(b.pack(view), 0);
    EXPECT_EQ(b.pack(other), 1);
    EXPECT_EQ(b.pack(view), 0);
    EXPECT_EQ(b.program().packed.size(), 2U);
}

TEST_F(BuilderTest, a_second_use_of_a_weight_has_a_gradient_of_its_own) {
    const Value w = parameter("w", 3);
    const Value x = b.input("x", nodes, 3);
    Value y = toy::record(b, "weight", {x, w}, nodes, 3);
    y = toy::record(b, "weight", {y, w}, nodes, 3);
    const Value loss = toy::record(b, "loss", {y}, {Axis::one, 1}, 1);
    b.sum("loss", loss);
    b.differentiate(loss);
    const Program p = b.finish();
    EXPECT_EQ(p.extra_gradient, 3);
    EXPECT_EQ(p.nodes.size() - p.part_nodes, 1U) << "added once both are summed over all lanes";
    const std::vector<std::pair<Index, Index>> expected{{0, 3}};
    EXPECT_EQ(p.reached, expected);
}

TEST_F(BuilderTest, overlapping_parts_of_a_gradient_are_refused) {
    const Value w = parameter("w", 12);
    const Value loss = toy::record(b, "loss", {b.input("x", nodes, 1, true)}, {Axis::one, 1}, 1);
    b.differentiate(loss);
    const WeightView top{0, 4, 1, 1, 4}, middle{4, 4, 1, 1, 4}, left{0, 4, 1, 3, 1}, all{0, 4, 1, 3, 4};
    const Value first = b.parameter_gradient(w, {top});
    EXPECT_EQ(b.parameter_gradient(w, {middle}), first) << "disjoint parts lie in one gradient";
    EXPECT_EQ(b.program().extra_gradient, 0);
    EXPECT_NE(b.parameter_gradient(w, {{0, 1, 4, 4, 1}}), first) << "the same elements, seen otherwise";
    EXPECT_EQ(b.program().extra_gradient, 12);
    EXPECT_NE(refused([&] { b.parameter_gradient(w, {left}); }).find('w'), std::string::npos);
    EXPECT_NE(refused([&] { b.parameter_gradient(w, {all}); }).find("8 of 12"), std::string::npos);
    EXPECT_NE(refused([&] {
                  b.parameter_gradient(w, {{8, 4, 1, 1, 4}, {11, 4, 1, 1, 1}});
              }).find("twice"),
              std::string::npos);
    EXPECT_NE(refused([&] { b.parameter_gradient(w, {{8, 4, 1, 2, 4}}); }), "accepted") << "beyond the end";
}

TEST(ParameterSet, published_order_goes_both_ways) {
    ParameterSet set;
    set.require({.name = "before", .shape = {2}, .initial = Initial::constant(5)});
    const int n = set.require(
        {.name = "w", .shape = {2, 2}, .initial = Initial::constant(1), .published = {2, 0, 3, 1}});
    std::vector<float> flat(6, 0.0F);
    const std::vector<double> published{10, 11, 12, 13};
    set.from_published<float>(n, published, flat);
    EXPECT_EQ(flat, (std::vector<float>{0, 0, 12, 10, 13, 11}));
    EXPECT_EQ(set.to_published<float>(n, flat), published);
    EXPECT_THROW(set.from_published<float>(n, std::vector<double>{1.0}, flat), Error);
    EXPECT_EQ(set.find("w"), n);
    EXPECT_EQ(set.find("x"), -1);
}

TEST(ParameterSet, initial_values_depend_on_seed_and_name_alone) {
    ParameterSet one, two;
    const Initial law = Initial::uniform(0.5);
    one.require({.name = "a", .shape = {100}, .initial = law});
    one.require({.name = "b", .shape = {100}, .initial = law});
    two.require({.name = "free", .shape = {7}, .kind = ParameterKind::free, .initial = law});
    two.require({.name = "b", .shape = {100}, .initial = law});
    two.require({.name = "a", .shape = {100}, .initial = law});
    std::vector<double> x(200), y(207), z(200);
    one.initialise<double>(7, x);
    two.initialise<double>(7, y);
    one.initialise<double>(8, z);
    EXPECT_TRUE(std::equal(x.begin(), x.begin() + 100, y.begin() + 107));
    EXPECT_TRUE(std::equal(x.begin() + 100, x.end(), y.begin() + 7));
    EXPECT_NE(x, z);
    EXPECT_FALSE(std::equal(x.begin(), x.begin() + 100, x.begin() + 100)) << "a and b are drawn apart";
    for (const double v : x) {
        EXPECT_LE(std::abs(v), 0.5);
    }
    EXPECT_EQ(two.count(ParameterKind::free), 7);
    EXPECT_EQ(two.count(ParameterKind::equivariant), 200);
    EXPECT_EQ(two.count(ParameterKind::gate), 0);
}

TEST(ParameterSet, pieces_have_their_own_bounds) {
    ParameterSet set;
    Initial law = Initial::uniform(0);
    law.pieces = {{10, 0.1}, {20, 2.0}, {5, 0.0}};
    set.require({.name = "w", .shape = {35}, .initial = law});
    std::vector<double> x(35);
    set.initialise<double>(1, x);
    double largest[3] = {};
    for (std::size_t i = 0; i < 35; ++i) {
        double& most = largest[i < 10 ? 0 : (i < 30 ? 1 : 2)];
        most = std::max(most, std::abs(x[i]));
    }
    EXPECT_LE(largest[0], 0.1);
    EXPECT_GT(largest[0], 0.01);
    EXPECT_LE(largest[1], 2.0);
    EXPECT_GT(largest[1], 0.5);
    EXPECT_EQ(largest[2], 0.0);
}

} // namespace
} // namespace tether::test
