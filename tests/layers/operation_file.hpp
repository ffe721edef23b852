// A parity file of kind `operation`: one operation with inputs, weights, cotangents, outputs and all
// gradients of loss = Σ output · cotangent. A test records the operation with the settings of the
// file; everything the file holds is compared in both precisions.
#pragma once

#include "tests/ops/batches.hpp"
#include "tests/support/reference.hpp"
#include "tether/core/error.hpp"
#include "tether/core/hdf5.hpp"
#include "tether/ops/elementwise.hpp"
#include "tether/ops/loss.hpp"
#include "tether/program/executor.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>

namespace tether::test {

// inside[k] = published[order[k]]; empty: same order.
using Order = std::vector<Index>;

class OperationFile {
public:
    explicit OperationFile(const std::string& path)
        : data(path), settings_(data.text_attribute("/", "settings")) {}

    // A setting (flat JSON: `"name": value`), text without its quotes.
    [[nodiscard]] std::string text(const std::string& name) const {
        const std::string key = '"' + name + "\":";
        const std::size_t found = settings_.find(key);
        check(found != std::string::npos, ExitCode::data, "{}: settings have no {}", data.path(), name);
        const std::size_t from = settings_.find_first_not_of(' ', found + key.size());
        if (settings_[from] == '"') {
            return settings_.substr(from + 1, settings_.find('"', from + 1) - from - 1);
        }
        return settings_.substr(from, settings_.find_first_of(",}", from) - from);
    }
    [[nodiscard]] double number(const std::string& name) const { return std::stod(text(name)); }

    // What a test records with. Fields and outputs carry the names of the file.
    class Recorder {
    public:
        Recorder(const OperationFile& file, Builder& builder) : b(builder), file_(file) {}
        [[nodiscard]] bool has(const std::string& name) const { return file_.data.has("/input/" + name); }
        Value input(const std::string& name, Axis axis, Order order = {}, bool gradient = true) {
            orders[name] = std::move(order);
            // [rows, columns], or [times, rows, columns]
            const std::vector<Index> shape = file_.data.shape("/input/" + name);
            const Index times = shape.size() == 3 ? shape[0] : 1;
            return b.input(name, {axis, times}, shape.back(), gradient);
        }
        // Compared with /output/`name`; part of the loss where there is a cotangent for it.
        void output(const std::string& name, Value v, const Order& order, const std::string& cotangent = "") {
            b.output("output/" + name, v);
            orders["output/" + name] = order;
            if (!cotangent.empty()) {
                losses.push_back(
                    ops::inner_product(b, v, input(cotangent, b.info(v).extent.axis, order, false)));
            }
        }
        Builder& b;
        std::map<std::string, Order> orders;
        std::vector<Value> losses;

    private:
        const OperationFile& file_;
    };

    // `record` declares parameters under `prefix` + the file's names.
    template <class T>
    void compare(const std::string& prefix, const std::function<void(Recorder&)>& record,
                 double tolerance) const {
        ParameterSet parameters;
        StateSet states;
        Builder b(parameters, states);
        Recorder r(*this, b);
        record(r);
        const Value loss = ops::add(b, r.losses);
        b.sum("loss", loss);
        b.differentiate(loss);
        for (std::size_t v = 0; v < b.program().values.size(); ++v) {
            const ValueInfo i = b.program().values[v];
            const Value g = b.gradient_of({static_cast<int>(v)});
            if (i.kind == ValueKind::input && i.needs_gradient && g.valid()) {
                b.output("gradient_input/" + i.name, g);
            }
        }
        const Program program = b.finish();

        std::vector<T> weights(static_cast<std::size_t>(parameters.size()), T(0));
        for (const std::string& name :
             data.has("/weight") ? data.datasets("/weight") : std::vector<std::string>{}) {
            const int n = parameters.find(prefix + name);
            ASSERT_GE(n, 0) << "the layer has no parameter " << name;
            ASSERT_EQ(parameters.at(n).shape, data.shape("/weight/" + name)) << name;
            parameters.from_published<T>(n, data.doubles("/weight/" + name), weights);
        }
        ASSERT_EQ(parameters.all().size(), data.has("/weight") ? data.datasets("/weight").size() : 0U);

        std::vector<Index> edge_order;
        BatchPart<T> part = rows<T>(edge_order);
        const auto file_row = [&](const ValueInfo& v, Index row) {
            const Index times = v.extent.times;
            return v.extent.axis == Axis::edge ? edge_order[static_cast<std::size_t>(row)]
                                               : row % times * part.rows(v.extent.axis) + row / times;
        };
        const auto file_column = [](const Order& order, Index k) {
            return order.empty() ? k : order[static_cast<std::size_t>(k)];
        };
        part.field.resize(program.fields.size());
        for (const ValueInfo& v : program.values) {
            if (v.kind != ValueKind::input) {
                continue;
            }
            const std::vector<double> values = data.doubles("/input/" + v.name);
            ASSERT_EQ(static_cast<Index>(values.size()), part.rows(v.extent) * v.columns) << v.name;
            auto& field = part.field[static_cast<std::size_t>(v.offset)];
            for (Index row = 0; row < part.rows(v.extent); ++row) {
                for (Index k = 0; k < v.columns; ++k) {
                    const Index at = file_row(v, row) * v.columns + file_column(r.orders[v.name], k);
                    field.push_back(static_cast<T>(values[static_cast<std::size_t>(at)]));
                }
            }
        }
        PackedWeights<T> packed(program);
        packed.renew(weights.data());
        std::vector<T> gradient(weights.size(), T(0));
        std::vector<T> extra(static_cast<std::size_t>(program.extra_gradient), T(0));
        HostExecutor<T> executor(program, Checking::debug);
        executor.run(part, {.parameters = weights.data(),
                            .gradient = gradient.data(),
                            .extra_gradient = extra.data(),
                            .packed = packed.data()});

        std::map<std::string, std::vector<double>> found;
        for (const auto& [name, v] : program.outputs) {
            const auto values = executor.value(v);
            const ValueInfo& i = program.info(v);
            const bool is_gradient = name.starts_with("gradient_input/");
            const Order& order = r.orders[is_gradient ? name.substr(15) : name];
            auto& to = found["/" + name];
            to.resize(values.size());
            for (Index at = 0; at < static_cast<Index>(values.size()); ++at) {
                const Index row = file_row(i, at / i.columns);
                to[static_cast<std::size_t>(row * i.columns + file_column(order, at % i.columns))] =
                    static_cast<double>(values[static_cast<std::size_t>(at)]);
            }
        }
        for (std::size_t n = 0; n < parameters.all().size(); ++n) {
            found["/gradient/" + parameters.all()[n].name.substr(prefix.size())] =
                parameters.to_published<T>(static_cast<int>(n), gradient);
        }
        // Largest entry of each kind (outputs; all gradients), the floor of the measure.
        for (const auto& kinds :
             {std::vector<std::string>{"loss"}, {"output"}, {"gradient", "gradient_input"}}) {
            std::vector<std::string> paths;
            for (const std::string& kind : kinds) {
                if (data.is_dataset("/" + kind)) {
                    paths.push_back("/" + kind);
                } else if (data.has("/" + kind)) {
                    for (const std::string& name : data.datasets("/" + kind)) {
                        paths.push_back("/" + kind + "/" + name);
                    }
                }
            }
            double largest = 0;
            for (const std::string& path : paths) {
                for (const double x : data.doubles(path)) {
                    largest = std::max(largest, std::abs(x));
                }
            }
            for (const std::string& path : paths) {
                ASSERT_TRUE(found.contains(path)) << path << " of the file is not computed";
                EXPECT_LE(disagreement(found[path], data.doubles(path), largest), tolerance) << path;
            }
        }
    }

    void compare_both(const std::string& prefix, const std::function<void(Recorder&)>& record) const {
        SCOPED_TRACE(data.path());
        {
            SCOPED_TRACE("float64");
            compare<double>(prefix, record, 1e-10);
        }
        SCOPED_TRACE("float32");
        compare<float>(prefix, record, 2e-5);
    }

    hdf5::Reader data;

private:
    std::string settings_;
    // One lane with the rows of the file; edges sorted by receiver.
    template <class T>
    [[nodiscard]] BatchPart<T> rows(std::vector<Index>& edge_order) const {
        std::string any;
        for (const std::string& name : data.datasets("/input")) {
            const bool per_edge =
                name.starts_with("edge_") || name.ends_with("_edge") || name.ends_with("_extra");
            any = any.empty() && !per_edge && name != "graph_index" ? name : any;
        }
        const std::vector<Index> shape = data.shape("/input/" + any);
        Batch batch{data.path(), {{Graph{shape.at(shape.size() - 2)}}}};
        Graph& graph = batch.lanes[0][0];
        if (data.has("/input/edge_index")) {
            const std::vector<Index> index = data.integers("/input/edge_index");
            const std::size_t edges = index.size() / 2;
            for (std::size_t e = 0; e < edges; ++e) {
                graph.edges.emplace_back(static_cast<int>(index[e]), static_cast<int>(index[edges + e]));
            }
            edge_order.resize(edges);
            std::iota(edge_order.begin(), edge_order.end(), Index{0});
            std::ranges::stable_sort(edge_order, {}, [&](Index e) {
                return std::pair(index[edges + static_cast<std::size_t>(e)],
                                 index[static_cast<std::size_t>(e)]);
            });
        }
        BatchPart<T> part = make_part<T>(batch, 0, 1);
        if (data.has("/input/graph_index")) {
            const std::vector<Index> index = data.integers("/input/graph_index");
            part.topology.graph_of_node.assign(index.begin(), index.end());
            part.topology.node_begin.assign(1, 0);
            for (std::size_t i = 0; i < index.size(); ++i) {
                while (static_cast<Index>(part.topology.node_begin.size()) < index[i] + 1) {
                    part.topology.node_begin.push_back(static_cast<std::int32_t>(i));
                }
            }
            part.topology.node_begin.push_back(static_cast<std::int32_t>(index.size()));
            part.lane_begin[1] = {0, static_cast<Index>(part.topology.node_begin.size()) - 1};
        }
        return part;
    }
};

// Files of a folder of kind `operation` that hold what is wanted, whatever they are called.
inline std::vector<std::string> operation_files(const std::string& folder,
                                                const std::function<bool(const hdf5::Reader&)>& wanted) {
    std::vector<std::string> files;
    for (const std::string& path : reference_files(folder)) {
        const hdf5::Reader data(path);
        if (data.has_attribute("/", "kind") && data.text_attribute("/", "kind") == "operation" &&
            wanted(data)) {
            files.push_back(path);
        }
    }
    return files;
}

} // namespace tether::test
