// `rpp`: what the method adds to a recorded training program, against independent values
// (reference/methods): loss and gradient of a toy layer  y = sigmoid(c) (A ⊗ I_3) x + W x + b.
#include "tests/support/reference.hpp"
#include "tether/core/hdf5.hpp"
#include "tether/layers/linear.hpp"
#include "tether/methods/method.hpp"
#include "tether/ops/block_linear.hpp"
#include "tether/ops/elementwise.hpp"
#include "tether/ops/loss.hpp"
#include "tether/program/executor.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <map>
#include <string>
#include <vector>

namespace tether::methods {
namespace {

using Numbers = std::vector<double>;

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

// Gradients that the method adds to parameters of these names and values, and its loss under "loss".
std::map<std::string, Numbers> added(const MethodSettings& settings,
                                     const std::map<std::string, Numbers>& values,
                                     const std::map<std::string, std::vector<Index>>& shapes) {
    const auto run = [&](const MethodSettings& with) {
        ParameterSet parameters;
        StateSet states;
        Builder b(parameters, states);
        const auto declare = [&](const std::string& name, ParameterKind kind) {
            return b.parameter({.name = name, .shape = shapes.at(name), .kind = kind, .initial = {}});
        };
        const Value x = b.input("x", {Axis::graph, 1}, 1);
        // Every parameter is reached: the loss is some sum of linear maps of one column.
        std::vector<Value> parts;
        for (const auto& [name, numbers] : values) {
            const Value p =
                declare(name, name.starts_with("free") ? ParameterKind::free : ParameterKind::equivariant);
            const Value y = ops::linear(b, {x}, p, static_cast<Index>(numbers.size()));
            parts.push_back(ops::row_norm(b, y));
        }
        const Value sum = ops::add(b, parts);
        const Value loss = ops::inner_product(b, sum, sum);
        b.sum("loss", loss);
        make_method(with)->record({b, {}});
        b.differentiate(loss);
        const Program program = b.finish();
        Numbers flat(at(parameters.size()));
        for (const Parameter& p : parameters.all()) {
            std::ranges::copy(values.at(p.name), flat.begin() + p.offset);
        }
        BatchPart<double> part;
        part.lanes = 1;
        for (auto& begin : part.lane_begin) {
            begin = {0, 1};
        }
        part.topology.node_begin = {0, 1};
        part.field = {{1.0}};
        Numbers gradient(flat.size(), 0.0), extra(at(program.extra_gradient), 0.0);
        PackedWeights<double> packed(program);
        packed.renew(flat.data());
        HostExecutor<double> executor(program, Checking::debug);
        executor.run(part, {.parameters = flat.data(),
                            .gradient = gradient.data(),
                            .extra_gradient = extra.data(),
                            .packed = packed.data()});
        std::map<std::string, Numbers> out;
        for (const Parameter& p : parameters.all()) {
            out[p.name] = Numbers(gradient.begin() + p.offset, gradient.begin() + p.offset + p.size);
        }
        out["loss"] = {0.0};
        for (const auto& [name, v] : program.outputs) {
            if (name.starts_with(added_loss)) {
                out["loss"][0] += executor.value(v)[0];
            }
        }
        return out;
    };
    std::map<std::string, Numbers> with = run(settings);
    const std::map<std::string, Numbers> without = run({.name = "free"});
    for (auto& [name, numbers] : with) {
        for (std::size_t k = 0; k < numbers.size(); ++k) {
            numbers[k] -= without.at(name)[k];
        }
    }
    return with;
}

TEST(Rpp, parity_of_loss_and_gradient) {
    for (const std::string& file : test::reference_files("methods")) {
        const hdf5::Reader reader(file);
        if (reader.text_attribute("/", "model") != "methods: rpp") {
            continue;
        }
        const auto json = nlohmann::json::parse(reader.text_attribute("/", "settings"));
        MethodSettings settings{.name = "rpp"};
        settings.values.set("kappa_eq", json["kappa_eq"].get<double>());
        settings.values.set("kappa_free", json["kappa_free"].get<double>());
        std::map<std::string, Numbers> weight;
        std::map<std::string, std::vector<Index>> shapes;
        for (const std::string& name : reader.children("/weight")) {
            weight[name] = reader.doubles("/weight/" + name);
            shapes[name] = reader.shape("/weight/" + name);
        }
        std::map<std::string, Numbers> gradient = added(settings, weight, shapes);

        // The task's part, written out.
        const std::vector<Index> shape = reader.shape("/input/x");
        const Index outputs = reader.shape("/input/y").at(1);
        const Index vectors = shape[1] / 3;
        const Numbers x = reader.doubles("/input/x");
        const Numbers y = reader.doubles("/input/y");
        const Numbers& a = weight["equivariant.A"];
        const Numbers& w = weight["free.weight"];
        double task = 0;
        const double factor = 1 / static_cast<double>(shape[0] * outputs);
        const bool one_gate = weight["equivariant.bias"].size() == 1;
        for (Index s = 0; s < shape[0]; ++s) {
            const double* row = x.data() + s * shape[1];
            for (Index o = 0; o < outputs; ++o) {
                const std::size_t gate = one_gate ? 0 : at(o / 3);
                const double open = 1 / (1 + std::exp(-weight["equivariant.bias"][gate]));
                double equivariant = 0;
                for (Index k = 0; k < vectors; ++k) {
                    equivariant += a[at(o / 3 * vectors + k)] * row[3 * k + o % 3];
                }
                double value = open * equivariant + weight["free.bias"][at(o)];
                for (Index k = 0; k < shape[1]; ++k) {
                    value += w[at(o * shape[1] + k)] * row[k];
                }
                const double error = value - y[at(s * outputs + o)];
                task += factor * error * error;
                const double d = 2 * factor * error;
                gradient["equivariant.bias"][gate] += d * equivariant * open * (1 - open);
                gradient["free.bias"][at(o)] += d;
                for (Index k = 0; k < vectors; ++k) {
                    gradient["equivariant.A"][at(o / 3 * vectors + k)] += d * open * row[3 * k + o % 3];
                }
                for (Index k = 0; k < shape[1]; ++k) {
                    gradient["free.weight"][at(o * shape[1] + k)] += d * row[k];
                }
            }
        }
        EXPECT_LE(test::disagreement(Numbers{task}, reader.doubles("/task_loss")), 1e-10) << file;
        EXPECT_LE(test::disagreement(Numbers{task + gradient["loss"][0]}, reader.doubles("/loss")), 1e-10);
        for (const auto& [name, numbers] : weight) {
            EXPECT_LE(test::disagreement(gradient[name], reader.doubles("/gradient/" + name)), 1e-10)
                << file << " " << name;
        }
    }
}

TEST(Rpp, free_parameters_start_small_and_are_reported_as_they_are) {
    const auto method = make_method({.name = "rpp"});
    EXPECT_EQ(method->sites().free_scale, 1e-3);
    EXPECT_EQ(method->sites().gate, Gate::constant);
    EXPECT_EQ(method->primary(), Evaluation::relaxed);
    ParameterSet parameters;
    parameters.require({.name = "a", .shape = {50}, .initial = Initial::uniform(1)});
    parameters.require(
        {.name = "b", .shape = {50}, .kind = ParameterKind::free, .initial = Initial::uniform(1)});
    Numbers usual(100), small(100);
    parameters.initialise<double>(5, usual);
    parameters.scale_initial(ParameterKind::free, method->sites().free_scale);
    parameters.initialise<double>(5, small);
    for (std::size_t k = 0; k < 100; ++k) {
        EXPECT_DOUBLE_EQ(small[k], k < 50 ? usual[k] : 1e-3 * usual[k]);
    }
}

} // namespace
} // namespace tether::methods
