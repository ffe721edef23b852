// The stages of a program on a device: what a node needs was made in a stage before, or before it in its own
// chain; nothing that runs at once touches the same numbers.
#include "tests/program/toy_ops.hpp"
#include "tether/program/device_schedule.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>

namespace tether::test {
namespace {

const Extent nodes{Axis::node, 1};
const Extent edges{Axis::edge, 1};

// What stages promise, for values that one node writes.
void expect_sound(const Program& p, const std::vector<DeviceWork>& work,
                  const std::vector<DeviceStage>& stages) {
    std::map<std::size_t, std::pair<std::size_t, std::size_t>> place;
    std::map<std::size_t, std::size_t> position;
    for (std::size_t s = 0; s < stages.size(); ++s) {
        ASSERT_FALSE(stages[s].branches.empty());
        for (std::size_t b = 0; b < stages[s].branches.size(); ++b) {
            const std::vector<std::size_t>& branch = stages[s].branches[b];
            for (std::size_t i = 0; i < branch.size(); ++i) {
                ASSERT_TRUE(place.emplace(branch[i], std::pair(s, b)).second)
                    << "node " << branch[i] << " twice";
                position[branch[i]] = i;
                const bool follows = i > 0;
                const DeviceWork w = work[branch[i]];
                EXPECT_TRUE(!follows || w == DeviceWork::rows || w == DeviceWork::elementwise ||
                            w == DeviceWork::row_product);
                EXPECT_TRUE(!follows || work[branch.front()] != DeviceWork::product ||
                            w == DeviceWork::elementwise);
            }
        }
        for (const std::vector<std::size_t>& branch : stages[s].branches) {
            EXPECT_TRUE(work[branch.front()] != DeviceWork::sums || stages[s].branches.size() == 1);
        }
    }
    EXPECT_EQ(place.size(), p.nodes.size());
    for (std::size_t n = 0; n < p.nodes.size(); ++n) {
        for (std::size_t m = 0; m < p.nodes.size(); ++m) {
            const bool needs = std::ranges::any_of(p.nodes[n].in, [&](Value v) {
                return std::ranges::find(p.nodes[m].out, v) != p.nodes[m].out.end();
            });
            if (needs && place.at(m).first == place.at(n).first) {
                EXPECT_EQ(place.at(m).second, place.at(n).second)
                    << n << " runs beside " << m << ", which it needs";
                EXPECT_LT(position.at(m), position.at(n));
                EXPECT_EQ(p.info(p.nodes[m].out.front()).extent.axis,
                          p.info(p.nodes[n].out.front()).extent.axis);
            } else if (needs) {
                EXPECT_LT(place.at(m).first, place.at(n).first)
                    << n << " runs before " << m << ", which it needs";
            }
        }
    }
}

// Nodes that read any of those before them.
Program random_program(std::mt19937& random, ParameterSet& parameters, StateSet& states) {
    Builder b(parameters, states);
    std::vector<Value> values{b.input("x", nodes, 3), b.input("e", edges, 3)};
    const auto pick = [&](std::size_t n) {
        return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
    };
    for (int n = 0; n < 60; ++n) {
        const Value a = values[std::max(pick(values.size()), pick(values.size()))];
        std::vector<Value> same;
        for (const Value v : values) {
            if (b.info(v).extent == b.info(a).extent) {
                same.push_back(v);
            }
        }
        const bool crosses = pick(4) == 0; // to the other extent, as gather and segment_sum do
        const Extent out = crosses == (b.info(a).extent == nodes) ? edges : nodes;
        values.push_back(crosses ? toy::record(b, "spread", {a}, out, 3)
                                 : toy::record(b, "sum", {a, same[pick(same.size())]}, out, 3));
    }
    b.output("y", values.back());
    return b.finish();
}

TEST(DeviceStages, are_sound_for_any_program) {
    std::mt19937 random(5);
    std::size_t joined = 0;
    for (int trial = 0; trial < 50; ++trial) {
        ParameterSet parameters;
        StateSet states;
        const Program p = random_program(random, parameters, states);
        std::vector<DeviceWork> work;
        for (std::size_t n = 0; n < p.nodes.size(); ++n) {
            static constexpr std::array<DeviceWork, 6> kinds{DeviceWork::own,         DeviceWork::rows,
                                                             DeviceWork::elementwise, DeviceWork::product,
                                                             DeviceWork::row_product, DeviceWork::sums};
            work.push_back(kinds[std::discrete_distribution<std::size_t>({2, 5, 5, 3, 3, 0.3})(random)]);
        }
        const std::vector<DeviceStage> stages = device_stages(p, work, 0, p.nodes.size());
        expect_sound(p, work, stages);
        for (const DeviceStage& stage : stages) {
            for (const auto& branch : stage.branches) {
                joined += branch.size() - 1;
            }
        }
    }
    EXPECT_GT(joined, 200U);
}

// product -> elementwise -> elementwise is one launch, two chains that meet are one, and what crosses extents
// begins a stage.
TEST(DeviceStages, join_what_can_be_one_launch) {
    ParameterSet parameters;
    StateSet states;
    Builder b(parameters, states);
    const Value x = b.input("x", nodes, 3);
    const Value product = toy::record(b, "sum", {x, x}, nodes, 3);            // 0
    const Value then = toy::record(b, "sum", {product, x}, nodes, 3);         // 1
    const Value rows = toy::record(b, "sum", {then, then}, nodes, 3);         // 2
    const Value left = toy::record(b, "sum", {rows, x}, nodes, 3);            // 3
    const Value other = toy::record(b, "sum", {then, x}, nodes, 3);           // 4
    const Value both = toy::record(b, "sum", {left, other}, nodes, 3);        // 5
    const Value on_edges = toy::record(b, "spread", {both}, edges, 3);        // 6
    const Value apart = toy::record(b, "sum", {x, x}, nodes, 3);              // 7
    const Value last = toy::record(b, "spread", {on_edges, apart}, nodes, 3); // 8
    b.output("y", last);
    const Program p = b.finish();
    const std::vector<DeviceWork> work{DeviceWork::product, DeviceWork::elementwise, DeviceWork::rows,
                                       DeviceWork::rows,    DeviceWork::rows,        DeviceWork::rows,
                                       DeviceWork::rows,    DeviceWork::own,         DeviceWork::rows};
    const std::vector<DeviceStage> stages = device_stages(p, work, 0, p.nodes.size());
    expect_sound(p, work, stages);
    const std::vector<std::vector<std::vector<std::size_t>>> expected{
        {{0, 1}, {7}}, {{2, 3, 4, 5}}, {{6}}, {{8}}};
    ASSERT_EQ(stages.size(), expected.size());
    for (std::size_t s = 0; s < stages.size(); ++s) {
        EXPECT_EQ(stages[s].branches, expected[s]) << s;
    }
}

// Products that may be steps go with the rows they belong to, whatever the times of a row; not with those of
// another axis.
TEST(DeviceStages, take_products_and_all_times_of_a_row_into_a_chain) {
    ParameterSet parameters;
    StateSet states;
    Builder b(parameters, states);
    const Extent later{Axis::node, 3};
    const Value x = b.input("x", nodes, 3);
    const Value rows = toy::record(b, "sum", {x, x}, nodes, 3);         // 0
    const Value product = toy::record(b, "sum", {rows, x}, nodes, 3);   // 1
    const Value times = toy::record(b, "spread", {product}, later, 3);  // 2
    const Value on_edges = toy::record(b, "spread", {times}, edges, 3); // 3
    const Value again = toy::record(b, "spread", {on_edges}, edges, 3); // 4
    b.output("y", again);
    const Program p = b.finish();
    const std::vector<DeviceWork> work{DeviceWork::rows, DeviceWork::row_product, DeviceWork::rows,
                                       DeviceWork::row_product, DeviceWork::elementwise};
    const std::vector<DeviceStage> stages = device_stages(p, work, 0, p.nodes.size());
    expect_sound(p, work, stages);
    const std::vector<std::vector<std::vector<std::size_t>>> expected{{{0, 1, 2}}, {{3, 4}}};
    ASSERT_EQ(stages.size(), expected.size());
    for (std::size_t s = 0; s < stages.size(); ++s) {
        EXPECT_EQ(stages[s].branches, expected[s]) << s;
    }
}

// Two nodes that write or read the same numbers of a buffer, one of which writes, keep their order.
TEST(DeviceStages, keep_the_order_of_what_touches_the_same_numbers) {
    ParameterSet parameters;
    StateSet states;
    Builder b(parameters, states);
    const Value x = b.input("x", nodes, 3);
    const Value y = toy::record(b, "sum", {x, x}, nodes, 3);
    b.output("y", y);
    Program p = b.finish();
    ValueInfo number;
    number.kind = ValueKind::gradient;
    number.columns = 4;
    number.offset = 8;
    p.values.push_back(number);
    const Value whole{static_cast<int>(p.values.size()) - 1};
    number.offset = 10;
    number.columns = 1;
    p.values.push_back(number);
    const Value inside{static_cast<int>(p.values.size()) - 1};
    const auto op = p.nodes.front().op;
    p.nodes = {{op, {x}, {whole}}, {op, {inside}, {y}}, {op, {x}, {inside}}};
    const std::vector<DeviceWork> work(3, DeviceWork::own);
    const std::vector<DeviceStage> stages = device_stages(p, work, 0, 3);
    ASSERT_EQ(stages.size(), 3U);
    for (std::size_t s = 0; s < 3; ++s) {
        EXPECT_EQ(stages[s].branches, (std::vector<std::vector<std::size_t>>{{s}}));
    }
}

} // namespace
} // namespace tether::test
