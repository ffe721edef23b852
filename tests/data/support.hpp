// For tests of the data folder: the message of an expected error, a tiny set of graphs.
#pragma once

#include "tether/core/error.hpp"
#include "tether/data/graph_set.hpp"

#include <gtest/gtest.h>

#include <string>

namespace tether::data {

template <class Action>
std::string error_of(const Action& action, ExitCode code = ExitCode::data) {
    try {
        action();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), code) << error.what();
        return error.what();
    }
    ADD_FAILURE() << "no error";
    return {};
}

inline bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

// Graphs of 2, 3, 1, 4 nodes; edges given out of order; one field per axis.
inline GraphSet small_set() {
    GraphSet set;
    set.name = "small";
    set.path = "small.h5";
    set.add_graph(2);
    set.add_edge(0, 1);
    set.add_edge(1, 0);
    set.add_graph(3);
    set.add_edge(2, 1);
    set.add_edge(0, 2);
    set.add_edge(0, 1);
    set.add_edge(1, 0);
    set.add_graph(1);
    set.add_graph(4);
    set.add_edge(3, 1);
    set.add_edge(2, 0);
    const auto values = [](Index rows, Index width, double start) {
        std::vector<double> out;
        for (Index i = 0; i < rows * width; ++i) {
            out.push_back(start + static_cast<double>(i));
        }
        return out;
    };
    set.fields = {{"x", Axis::node, 2, "m", values(10, 2, 100)},
                  {"weight", Axis::edge, 1, "1", values(8, 1, 0)},
                  {"label", Axis::graph, 1, "eV", values(4, 1, -1)}};
    set.split[0] = {0, 1, 2, 3};
    return set;
}

} // namespace tether::data
