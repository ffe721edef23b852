// The schedule of a program and the values that are computed again: every node once, operands always
// there, nothing read outside the tile it lives in; recomputed values from what is kept anyway.
#include "tests/program/toy_ops.hpp"
#include "tether/program/rematerialise.hpp"
#include "tether/program/schedule.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace tether::test {
namespace {

const Extent nodes{Axis::node, 1};
const Extent one{Axis::one, 1};

// A sum and two weights one after the other (all rows), then the loss; the reverse pass reads the sum.
struct Chain {
    Chain() {
        Builder b(parameters, states);
        const Value x = b.input("x", nodes, 3, true);
        first = toy::record(b, "sum", {x, x}, nodes, 3);
        const Value weight = b.parameter({.name = "w", .shape = {3}, .initial = Initial::uniform(1)});
        const Value weighted = toy::record(b, "weight", {first, weight}, nodes, 3);
        const Value other = b.parameter({.name = "v", .shape = {3}, .initial = Initial::uniform(1)});
        const Value last = toy::record(b, "weight", {weighted, other}, nodes, 3);
        const Value loss = toy::record(b, "loss", {last}, one, 1);
        b.sum("loss", loss);
        b.differentiate(loss);
        program = b.finish();
    }
    ParameterSet parameters;
    StateSet states;
    Program program;
    Value first;
};

void expect_sound(const Program& p, const std::vector<NodeGroup>& groups) {
    std::set<std::size_t> done;
    std::set<int> written;
    for (const ValueInfo& v : p.values) {
        if (v.kind != ValueKind::intermediate) {
            written.insert(static_cast<int>(&v - p.values.data()));
        }
    }
    std::size_t furthest_part = 0;
    for (const NodeGroup& g : groups) {
        const std::set<int> local(g.local.begin(), g.local.end());
        for (const std::size_t n : g.nodes) {
            EXPECT_TRUE(done.insert(n).second) << "node " << n << " twice";
            const std::size_t part = n < p.forward_nodes ? 0 : (n < p.part_nodes ? 1 : 2);
            EXPECT_GE(part, furthest_part) << "node " << n << " after a later part of the program";
            furthest_part = part;
            for (const Value v : p.nodes[n].in) {
                EXPECT_TRUE(written.contains(v.id))
                    << "node " << n << " reads value " << v.id << " too early";
            }
            for (const Value v : p.nodes[n].out) {
                written.insert(v.id);
            }
        }
        for (const int v : local) {
            EXPECT_EQ(p.values[static_cast<std::size_t>(v)].extent, g.extent);
            for (std::size_t n = 0; n < p.nodes.size(); ++n) {
                if (std::ranges::find(p.nodes[n].in, Value{v}) != p.nodes[n].in.end()) {
                    EXPECT_NE(std::ranges::find(g.nodes, n), g.nodes.end())
                        << "node " << n << " reads value " << v << " of another group's tiles";
                }
            }
        }
    }
    EXPECT_EQ(done.size(), p.nodes.size());
}

TEST(Schedule, chains_of_rows_are_one_group_with_the_sums_that_end_them) {
    const Chain chain;
    const Program& p = chain.program;
    const auto groups = schedule(p, true);
    expect_sound(p, groups);
    ASSERT_GE(groups.size(), 2U);
    EXPECT_TRUE(groups.front().tiled);
    EXPECT_EQ(groups.front().nodes.size(), 3U) << "sum, weight, weight";
    const bool sums = std::ranges::any_of(groups, [&](const NodeGroup& g) {
        return std::ranges::any_of(g.sums, [&](std::size_t n) {
            return p.nodes[n].op->name() == "weight_gradient" && g.nodes.front() != n;
        });
    });
    EXPECT_TRUE(sums) << "the weight's gradient belongs to the reverse group";
}

TEST(Schedule, without_tiles_nodes_keep_their_order) {
    const Chain chain;
    const auto groups = schedule(chain.program, false);
    ASSERT_EQ(groups.size(), chain.program.nodes.size());
    for (std::size_t n = 0; n < groups.size(); ++n) {
        EXPECT_EQ(groups[n].nodes, std::vector<std::size_t>{n});
        EXPECT_FALSE(groups[n].tiled);
    }
}

TEST(Rematerialise, only_what_cheap_operations_make_from_kept_values) {
    Chain chain;
    Program& p = chain.program;
    const Program before = p;
    rematerialise(p);
    EXPECT_EQ(p.nodes.size(), before.nodes.size()) << "no operation is cheap here";
    // With a cheap first sum the reverse pass makes its value again from the input.
    class Cheap : public toy::Toy {
    public:
        Cheap() : Toy("sum") {}
        [[nodiscard]] bool cheap() const override { return true; }
    };
    p.nodes[0].op = std::make_shared<Cheap>();
    rematerialise(p);
    ASSERT_EQ(p.nodes.size(), before.nodes.size() + 1);
    EXPECT_EQ(p.forward_nodes, before.forward_nodes);
    EXPECT_EQ(p.part_nodes, before.part_nodes + 1);
    for (std::size_t n = p.forward_nodes; n < p.nodes.size(); ++n) {
        EXPECT_EQ(std::ranges::find(p.nodes[n].in, chain.first), p.nodes[n].in.end())
            << "node " << n << " reads the value that the forward pass forgets";
    }
    expect_sound(p, schedule(p, true));
}

} // namespace
} // namespace tether::test
