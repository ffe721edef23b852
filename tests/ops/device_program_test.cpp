// How a device reorders a program: what the host computes again is computed once, and the gradients of
// parameters come last, which makes them a few launches whatever their number.
#include "tether/program/device_program.hpp"

#include "tests/ops/batches.hpp"
#include "tether/ops/bilinear.hpp"
#include "tether/ops/block_linear.hpp"
#include "tether/ops/elementwise.hpp"
#include "tether/ops/loss.hpp"
#include "tether/program/device_executor.hpp"
#include "tether/program/rematerialise.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

namespace tether::test {
namespace {

// Some layers: a bilinear map, a linear one with biases, an activation.
Program recorded(int layers) {
    ParameterSet parameters;
    StateSet states;
    Builder b(parameters, states);
    const Extent nodes{Axis::node, 1};
    const Value a = b.input("a", nodes, 1);
    Value x = b.input("x", nodes, 4);
    for (int k = 0; k < layers; ++k) {
        const std::string number = std::to_string(k);
        const Value weight =
            b.parameter({.name = "weight" + number, .shape = {4, 4}, .initial = Initial::constant(0)});
        const Value bias =
            b.parameter({.name = "bias" + number, .shape = {4}, .initial = Initial::constant(0)});
        x = ops::bilinear(b, x, a, {4, {{0, 0, 0, 4, 0.5}}});
        x = ops::linear(b, {x}, weight, 4, bias, Activation::silu);
    }
    const Value loss = ops::squared_error(b, x, b.input("y", nodes, 4), b.control("factor"));
    b.sum("loss", loss);
    b.differentiate(loss);
    Program program = b.finish();
    rematerialise(program);
    return program;
}

std::map<std::string, int> counts(const Program& program) {
    std::map<std::string, int> count;
    for (const Node& node : program.nodes) {
        ++count[std::string(node.op->name())];
    }
    return count;
}

TEST(DeviceProgram, computes_nothing_twice_and_gradients_last) {
    const Program host = recorded(3);
    const Program device = device_program(host);
    const auto before = counts(host);
    auto expected = before;
    // The host makes again what the first linear map reads, from fields; the first map needs no reverse.
    ASSERT_EQ(before.at("bilinear"), 3 + 1 + 2);
    expected["bilinear"] = 3 + 2;
    EXPECT_EQ(counts(device), expected);
    EXPECT_EQ(device.forward_nodes, host.forward_nodes);
    EXPECT_EQ(device.nodes.size() - device.part_nodes, host.nodes.size() - host.part_nodes);
    const std::vector<bool> gradients = writes_gradients_alone(device);
    const auto first = static_cast<std::ptrdiff_t>(device.part_nodes) - 6; // of 3 weights and 3 biases
    EXPECT_EQ(std::count(gradients.begin(), gradients.begin() + first, true), 0);
    EXPECT_EQ(std::count(gradients.begin() + first, gradients.end(), true), 6);
}

TEST(DeviceProgram, launches_of_gradients_do_not_grow_with_their_number) {
    const auto launches = [](int layers) {
        const Program program = recorded(layers);
        const auto backend = device::make_emulation();
        const BatchPart<double> part = [] {
            const Batch batch{"one graph", {{complete_graph(2)}}};
            BatchPart<double> p = make_part<double>(batch, 0, 1);
            p.field = {std::vector<double>(2), std::vector<double>(8), std::vector<double>(8)};
            return p;
        }();
        DeviceExecutor<double> executor(program, *backend, {});
        executor.load(part);
        std::map<std::string, int> count;
        for (const device::Launch& launch : executor.list().launches()) {
            ++count[launch.name];
        }
        return count;
    };
    for (const int layers : {1, 5}) {
        const auto count = launches(layers);
        EXPECT_EQ(count.at("weight_gradients"), 1);
        EXPECT_EQ(count.at("gradient_sums"), 1);
        EXPECT_EQ(count.at("totals"), 1);
        EXPECT_FALSE(count.contains("weight_gradient"));
        EXPECT_FALSE(count.contains("column_sum"));
    }
}

} // namespace
} // namespace tether::test
