// The parts of EGNO against the published code: every file of kind `operation` in reference/egno.
#include "tests/layers/operation_file.hpp"
#include "tether/layers/normalised.hpp"
#include "tether/layers/time.hpp"
#include "tether/models/egno.hpp"
#include "tether/ops/times.hpp"

#include <gtest/gtest.h>

namespace tether::test {
namespace {

std::vector<std::string> egno_files(const std::string& holds) {
    return operation_files("egno", [&](const hdf5::Reader& f) { return f.has(holds); });
}

TEST(EgnoTimeConvolution, parity_reference_features) {
    const auto files = egno_files("/input/h");
    int compared = 0;
    for (const std::string& path : files) {
        const OperationFile file(path);
        if (!file.data.has("/weight/t_conv.weights1")) {
            continue; // a message layer
        }
        ++compared;
        file.compare_both("op.", [&](OperationFile::Recorder& r) {
            const Value h = r.input("h", Axis::node);
            const Value y = layers::time_convolution(r.b, "op.t_conv.weights1", h,
                                                     {.modes = static_cast<Index>(file.number("modes"))});
            const Value turned = ops::activation(r.b, y, Activation::leaky_relu);
            r.output("convolution", y, {});
            r.output("h", ops::add(r.b, {h, turned}), {}, "cotangent");
        });
    }
    if (compared == 0) {
        GTEST_SKIP() << "no reference/egno/op_time_convolution_h*.h5";
    }
}

TEST(EgnoTimeConvolution, parity_reference_motion) {
    const auto files = egno_files("/input/position_mean");
    if (files.empty()) {
        GTEST_SKIP() << "no reference/egno/op_time_convolution_x.h5";
    }
    for (const std::string& path : files) {
        const OperationFile file(path);
        file.compare_both("op.", [&](OperationFile::Recorder& r) {
            const Value x = r.input("position", Axis::node);
            const Value v = r.input("velocity", Axis::node);
            const Value mean =
                ops::repeat_times(r.b, r.input("position_mean", Axis::node), r.b.info(x).extent.times);
            const models::EgnoMotion next = models::egno_time_convolution(
                r.b, "op.t_conv.weights1", {x, v}, mean, static_cast<Index>(file.number("modes")));
            r.output("position", next.x, {}, "cotangent_position");
            r.output("velocity", next.v, {}, "cotangent_velocity");
        });
    }
}

TEST(EgnoLayer, parity_reference) {
    const auto files = egno_files("/weight/coord_net.mlp.0.weight");
    if (files.empty()) {
        GTEST_SKIP() << "no reference/egno/op_layer_clamp.h5";
    }
    for (const std::string& path : files) {
        const OperationFile file(path);
        file.compare_both("layer.", [&](OperationFile::Recorder& r) {
            const Value h = r.input("h", Axis::node);
            const Value x = r.input("position", Axis::node);
            const Value v = r.input("velocity", Axis::node);
            const Value e = r.input("edge_feature", Axis::edge);
            const models::EgnoLayerState next =
                models::egno_layer(r.b, "layer", h, x, v, e, r.b.info(h).columns);
            r.output("h", next.h, {}, "cotangent_h");
            r.output("position", next.x, {}, "cotangent_position");
        });
    }
}

TEST(TimeEmbedding, parity_reference) {
    const auto files = egno_files("/output/time_embedding");
    if (files.empty()) {
        GTEST_SKIP() << "no reference/egno/op_time_embedding.h5";
    }
    for (const std::string& path : files) {
        const hdf5::Reader file(path);
        const std::vector<Index> shape = file.shape("/output/time_embedding");
        EXPECT_LE(disagreement(layers::time_embedding(shape.at(0), shape.at(1)),
                               file.doubles("/output/time_embedding")),
                  1e-10);
    }
}

// A layer with buffers, on rows x: what it gives, its gradients, its buffers afterwards.
template <class T>
struct LayerRun {
    std::map<std::string, std::vector<double>> number; // output, loss, gradient/NAME, buffer/NAME, ...
    // `group` holds weight, input (x and cotangent); buffers from `buffer` where they are there.
    LayerRun(const hdf5::Reader& file, const std::string& weights, const std::string& inputs,
             const std::map<std::string, std::vector<double>>& buffer,
             const std::function<Value(Builder&, Value)>& record) {
        ParameterSet parameters;
        StateSet states;
        Builder b(parameters, states);
        const std::vector<Index> shape = file.shape(inputs + "/x");
        const Value x = b.input("x", {Axis::node, 1}, shape[1], true);
        const Value y = record(b, x);
        const Value cotangent = b.input("cotangent", {Axis::node, 1}, b.info(y).columns);
        const Value loss = ops::inner_product(b, y, cotangent);
        b.sum("loss", loss);
        b.output("output", y);
        b.differentiate(loss);
        b.output("gradient_input/x", b.gradient_of(x));
        const Program program = b.finish();
        const std::string prefix = "op.";
        std::vector<T> trained(static_cast<std::size_t>(parameters.size())),
            state(static_cast<std::size_t>(states.size()));
        for (std::size_t n = 0; n < parameters.all().size(); ++n) {
            const std::string name = parameters.all()[n].name.substr(prefix.size());
            parameters.from_published<T>(static_cast<int>(n), file.doubles(weights + "/" + name), trained);
        }
        for (const StateBuffer& s : states.all()) {
            const std::string name = s.name.substr(prefix.size());
            const auto given = buffer.find(name);
            const std::vector<double> values =
                given == buffer.end() ? file.doubles(weights + "/" + name) : given->second;
            std::ranges::transform(values, state.begin() + s.offset,
                                   [](double v) { return static_cast<T>(v); });
        }
        BatchPart<T> part = make_part<T>({"rows", {{Graph{shape[0]}}}}, 0, 1);
        for (const std::string& name : program.fields) {
            const std::vector<double> values = file.doubles(inputs + "/" + name);
            part.field.emplace_back(values.begin(), values.end());
        }
        PackedWeights<T> packed(program);
        packed.renew(trained.data());
        std::vector<T> gradient(trained.size()), extra(static_cast<std::size_t>(program.extra_gradient)),
            next = state;
        HostExecutor<T> executor(program, Checking::debug);
        executor.run(part, {.parameters = trained.data(),
                            .gradient = gradient.data(),
                            .extra_gradient = extra.data(),
                            .state = state.data(),
                            .next_state = next.data(),
                            .packed = packed.data()});
        for (const auto& [name, v] : program.outputs) {
            const auto values = executor.value(v);
            number[name].assign(values.begin(), values.end());
        }
        for (std::size_t n = 0; n < parameters.all().size(); ++n) {
            number["gradient/" + parameters.all()[n].name.substr(prefix.size())] =
                parameters.to_published<T>(static_cast<int>(n), gradient);
        }
        for (const StateBuffer& s : states.all()) {
            const auto first = next.begin() + s.offset;
            number["buffer/" + s.name.substr(prefix.size())].assign(first, first + s.size);
        }
    }
    [[nodiscard]] std::map<std::string, std::vector<double>> buffers() const {
        std::map<std::string, std::vector<double>> result;
        for (const auto& [name, values] : number) {
            if (name.starts_with("buffer/")) {
                result[name.substr(7)] = values;
            }
        }
        return result;
    }
    void expect(const hdf5::Reader& file, const std::string& name, const std::string& path) const {
        ASSERT_TRUE(number.contains(name)) << name;
        const double tolerance = sizeof(T) == sizeof(float) ? 2e-5 : 1e-10;
        EXPECT_LE(disagreement(number.at(name), file.doubles(path)), tolerance) << path;
    }
    // All datasets of a group of the file.
    void expect_all(const hdf5::Reader& file, const std::string& prefix, const std::string& group) const {
        for (const std::string& name : file.datasets(group)) {
            expect(file, prefix + "/" + name, group + "/" + name);
        }
    }
};

template <class T>
void compare_batch_norm(const hdf5::Reader& file) {
    for (const bool training : {true, false}) {
        const std::string group = training ? "/train" : "/eval";
        SCOPED_TRACE(file.path() + group);
        const LayerRun<T> run(file, "/weight", "/input", {}, [&](Builder& b, Value x) {
            return layers::batch_norm(b, "op", x, ParameterKind::free, training);
        });
        run.expect(file, "output", group + "/output");
        run.expect(file, "loss", group + "/loss");
        run.expect_all(file, "gradient", group + "/gradient");
        run.expect_all(file, "gradient_input", group + "/gradient_input");
        if (training) {
            run.expect_all(file, "buffer", group + "/buffer_after");
        } else {
            EXPECT_EQ(run.number.at("buffer/running_mean").size(),
                      file.doubles("/weight/running_mean").size());
        }
    }
}

TEST(BatchNorm, parity_reference) {
    const auto files = egno_files("/train/output");
    if (files.empty()) {
        GTEST_SKIP() << "no reference/egno/op_batch_norm.h5";
    }
    for (const std::string& path : files) {
        const hdf5::Reader file(path);
        compare_batch_norm<double>(file);
        compare_batch_norm<float>(file);
    }
}

template <class T>
void compare_spectral_linear(const hdf5::Reader& file, const std::string& shape) {
    const std::string group = "/" + shape;
    SCOPED_TRACE(file.path() + group);
    const Index out = file.shape(group + "/weight/bias").at(0);
    const auto run = [&](bool training, const std::map<std::string, std::vector<double>>& buffers) {
        return LayerRun<T>(file, group + "/weight", group + "/input", buffers, [&](Builder& b, Value x) {
            return layers::spectral_linear(b, "op", x, out, ParameterKind::free, training);
        });
    };
    const LayerRun<T> first = run(true, {});
    first.expect(file, "output", group + "/output/train_first");
    first.expect(file, "loss", group + "/loss");
    first.expect_all(file, "gradient", group + "/gradient");
    first.expect_all(file, "gradient_input", group + "/gradient_input");
    first.expect_all(file, "buffer", group + "/buffer_after_first");
    const LayerRun<T> second = run(true, first.buffers());
    second.expect(file, "output", group + "/output/train_second");
    second.expect_all(file, "buffer", group + "/buffer_after_second");
    const LayerRun<T> evaluation = run(false, first.buffers());
    evaluation.expect(file, "output", group + "/output/eval_after_first");
    EXPECT_EQ(evaluation.buffers(), first.buffers()) << "evaluation changes no buffer";
}

TEST(SpectralLinear, parity_reference) {
    const auto files = operation_files("egno", [](const hdf5::Reader& f) {
        return f.text_attribute("/", "settings").find("\"shapes\"") != std::string::npos;
    });
    if (files.empty()) {
        GTEST_SKIP() << "no reference/egno/op_spectral_linear.h5";
    }
    for (const std::string& path : files) {
        const hdf5::Reader file(path);
        int shapes = 0;
        // "shapes": [[in, out], ...]
        const std::string settings = file.text_attribute("/", "settings");
        std::size_t at = settings.find("[[", settings.find("\"shapes\"")) + 1;
        while (settings[at] == '[') {
            std::size_t length = 0;
            const int in = std::stoi(settings.substr(at + 1), &length);
            const std::size_t comma = settings.find(',', at);
            const int out = std::stoi(settings.substr(comma + 1));
            const std::string shape = std::to_string(in) + "_to_" + std::to_string(out);
            compare_spectral_linear<double>(file, shape);
            compare_spectral_linear<float>(file, shape);
            ++shapes;
            const std::size_t end = settings.find(']', at);
            at = settings[end + 1] == ',' ? settings.find('[', end) : end + 1;
        }
        EXPECT_GT(shapes, 0) << path;
    }
}

} // namespace
} // namespace tether::test
