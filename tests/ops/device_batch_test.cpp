// A device cannot fail in the middle of a list: batches that do not suit an operation are refused when they
// are loaded, with the message that the host gives.
#include "tests/ops/batches.hpp"
#include "tether/core/error.hpp"
#include "tether/ops/graph.hpp"
#include "tether/program/device_executor.hpp"

#include <gtest/gtest.h>

#include <string>

namespace tether::test {
namespace {

TEST(DeviceBatch, graphs_with_more_nodes_than_there_is_room_for_are_refused) {
    ParameterSet parameters;
    StateSet states;
    Builder b(parameters, states);
    const Value x = b.input("x", {Axis::node, 1}, 2);
    b.output("y", ops::nodes_side_by_side(b, x, 3));
    const Program program = b.finish();
    const auto backend = device::make_emulation();
    DeviceExecutor<double> executor(program, *backend, {});
    const auto load = [&](int nodes) {
        const Batch batch{"two graphs", {{complete_graph(2), complete_graph(nodes)}}};
        BatchPart<double> part = make_part<double>(batch, 0, 1);
        part.field = {std::vector<double>(static_cast<std::size_t>(2 * (2 + nodes)), 1.0)};
        executor.load(part);
    };
    load(3);
    executor.run();
    EXPECT_EQ(executor.value(program.outputs.at("y")),
              (std::vector<double>{1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1}));
    try {
        load(4);
        FAIL() << "a graph of 4 nodes is accepted";
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("4 nodes"), std::string::npos) << error.what();
        EXPECT_NE(std::string(error.what()).find("at most 3"), std::string::npos) << error.what();
    }
}

} // namespace
} // namespace tether::test
