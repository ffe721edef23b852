#include "tether/run/verify.hpp"

#include "src/run/verify_parts.hpp"
#include "tether/core/error.hpp"
#include "tether/run/reference_file.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tether::run {

const Comparison* PrecisionResult::worst() const {
    const auto worst = std::ranges::max_element(comparisons, {}, &Comparison::disagreement);
    return worst == comparisons.end() ? nullptr : &*worst;
}

namespace verify_parts {

void Comparer::add(const std::string& kind, const std::string& name, std::vector<double> found,
                   std::vector<double> expected, double scale) {
    entries_.push_back({kind, name, std::move(found), std::move(expected), scale});
}

std::vector<Comparison> Comparer::finish() const {
    std::map<std::string, double> largest;
    for (const Entry& e : entries_) {
        for (const double x : e.expected) {
            largest[e.kind] = std::max(largest[e.kind], std::abs(x));
        }
    }
    std::vector<Comparison> result;
    for (const Entry& e : entries_) {
        double difference = e.found.size() == e.expected.size() ? 0 : std::numeric_limits<double>::infinity();
        double scale = 1e-2 * largest[e.kind];
        for (std::size_t i = 0; i < std::min(e.found.size(), e.expected.size()); ++i) {
            const double d = std::abs(e.found[i] - e.expected[i]);
            difference = std::isfinite(d) ? std::max(difference, d) : std::numeric_limits<double>::infinity();
            scale = std::max(scale, std::abs(e.expected[i]));
        }
        scale = e.scale > 0 ? e.scale : std::max(scale, 1e-300);
        result.push_back({e.name, difference == 0 ? 0 : difference / scale});
    }
    return result;
}

} // namespace verify_parts

namespace {

using verify_parts::Comparer;

methods::SitePolicy policy_of(const ReferenceFile& file) {
    methods::SitePolicy policy;
    policy.gate = file.branches() ? methods::Gate::trained : methods::Gate::absent;
    return policy;
}

template <class T>
std::vector<double> doubles(std::span<const T> values) {
    return {values.begin(), values.end()};
}

// Rows of an output in the order of the file: edges back to the file's order, columns published, several
// times of a node time by time.
template <class T>
std::vector<double> published_rows(const ReferenceFile& file, const Network& network, const std::string& name,
                                   const ValueInfo& info, std::span<const T> values) {
    const std::vector<Index> columns = network.model().published_columns(name);
    const auto rows = static_cast<Index>(values.size()) / info.columns;
    std::vector<double> out(values.size());
    for (Index r = 0; r < rows; ++r) {
        const Index times = info.extent.times;
        const Index row = info.extent.axis == Axis::edge ? file.edge_order()[static_cast<std::size_t>(r)]
                                                         : r % times * (rows / times) + r / times;
        for (Index c = 0; c < info.columns; ++c) {
            const Index column = columns.empty() ? c : columns[static_cast<std::size_t>(c)];
            out[static_cast<std::size_t>(row * info.columns + column)] =
                static_cast<double>(values[static_cast<std::size_t>(r * info.columns + c)]);
        }
    }
    return out;
}

// What files hold beside outputs: the loss of every time, and the mean of each column of an output.
template <class T>
std::vector<double> derived_output(const ReferenceFile& file, const Network& network, const std::string& name,
                                   const HostExecutor<T>& executor, const BatchPart<T>& part) {
    const Program& program = network.training();
    const auto rows_of = [&](const std::string& output) {
        const ValueInfo& info = program.info(program.outputs.at(output));
        return published_rows<T>(file, network, output, info, executor.value(program.outputs.at(output)));
    };
    std::vector<double> result;
    if (const Extent extent = network.target_extent(); name == "loss_per_time" && extent.times > 1) {
        const models::FieldInfo target = network.model().target();
        const auto field = std::ranges::find(program.fields, target.name) - program.fields.begin();
        const auto found = executor.output("prediction");
        const auto& right = part.field[static_cast<std::size_t>(field)];
        const auto columns = static_cast<std::size_t>(target.columns);
        const auto times = static_cast<std::size_t>(extent.times);
        result.assign(times, 0.0);
        const std::size_t each = right.size() / times;
        for (std::size_t i = 0; i < right.size(); ++i) {
            const double d = static_cast<double>(found[i]) - static_cast<double>(right[i]);
            result[i / columns % times] += d * d / static_cast<double>(each);
        }
    }
    const std::string mean = "_column_mean";
    if (name.ends_with(mean) && program.outputs.contains(name.substr(0, name.size() - mean.size()))) {
        const std::string output = name.substr(0, name.size() - mean.size());
        const auto columns = static_cast<std::size_t>(program.info(program.outputs.at(output)).columns);
        const std::vector<double> rows = rows_of(output);
        result.assign(columns, 0.0);
        const std::size_t each = rows.size() / columns;
        for (std::size_t i = 0; i < rows.size(); ++i) {
            result[i % columns] += rows[i] / static_cast<double>(each);
        }
    }
    return result;
}

template <class T>
std::vector<Comparison> verify_model(const ReferenceFile& file) {
    const hdf5::Reader& data = file.data();
    const Network network(file.model(), policy_of(file),
                          {.keep = true,
                           .input_gradients = true,
                           .given_features = file.given_features(),
                           .batch_statistics = file.training_mode()});
    std::vector<T> trained, state;
    file.load(network, trained, state);
    const Program& program = network.training();
    BatchPart<T> part;
    file.batch(program, {}, part);

    PackedWeights<T> packed(program);
    packed.renew(trained.data());
    std::vector<T> gradient(trained.size(), T(0));
    std::vector<T> extra(static_cast<std::size_t>(program.extra_gradient), T(0));
    std::vector<T> next_state = state;
    const double rows = static_cast<double>(part.rows(network.target_extent()) * network.target_columns());
    const std::vector<T> control{static_cast<T>(1 / rows)};
    HostExecutor<T> executor(program, Checking::debug);
    executor.run(part, {.parameters = trained.data(),
                        .gradient = gradient.data(),
                        .extra_gradient = extra.data(),
                        .state = state.data(),
                        .next_state = next_state.data(),
                        .control = control.data(),
                        .packed = packed.data()});

    Comparer compare;
    compare.add("loss", "loss", doubles<T>(executor.output("loss")), data.doubles("/loss"));
    const std::vector<std::string> skipped = file.listed("not_compared");
    const auto compared = [&](const std::string& name) {
        return std::ranges::find(skipped, name) == skipped.end();
    };
    for (const std::string& name : data.datasets("/output")) {
        if (name == "projected" || !compared(name)) {
            continue;
        }
        if (const auto derived = derived_output<T>(file, network, name, executor, part); !derived.empty()) {
            compare.add("output", "output/" + name, derived, data.doubles("/output/" + name));
            continue;
        }
        const auto value = program.outputs.find(name);
        check(value != program.outputs.end(), ExitCode::data, "{}: /output/{} is not an output of {}",
              data.path(), name, data.text_attribute("/", "model"));
        std::vector<double> found = published_rows<T>(file, network, name, program.info(value->second),
                                                      executor.value(value->second));
        std::vector<double> expected = data.doubles("/output/" + name);
        // Files of full size hold the first rows of some intermediates.
        if (const auto shape = data.shape("/output/" + name);
            !shape.empty() && expected.size() < found.size()) {
            found.resize(expected.size());
        }
        compare.add("output", "output/" + name, std::move(found), std::move(expected));
    }

    const auto& parameters = network.parameters();
    for (std::size_t n = 0; n < parameters.all().size(); ++n) {
        const Parameter& p = parameters.all()[n];
        if (data.has("/gradient/" + p.name) && compared(p.name)) {
            compare.add("gradient", "gradient/" + p.name,
                        parameters.to_published<T>(static_cast<int>(n), gradient),
                        data.doubles("/gradient/" + p.name));
        } else {
            check(!data.has("/gradient") || !compared(p.name), ExitCode::data, "{}: no /gradient/{}",
                  data.path(), p.name);
        }
    }
    if (data.has("/gradient_summary")) {
        std::vector<double> norm, sum, dot;
        for (const std::string& name : data.strings("/gradient_summary/name")) {
            const int n = parameters.find(name);
            check(n >= 0, ExitCode::data, "{}: /gradient_summary names {}, which is no parameter",
                  data.path(), name);
            const std::vector<double> g = parameters.to_published<T>(n, gradient);
            const std::vector<double> w = parameters.to_published<T>(n, trained);
            double square = 0;
            double total = 0;
            double product = 0;
            for (std::size_t i = 0; i < g.size(); ++i) {
                square += g[i] * g[i];
                total += g[i];
                product += g[i] * w[i];
            }
            norm.push_back(std::sqrt(square));
            sum.push_back(total);
            dot.push_back(product);
        }
        compare.add("gradient_l2", "gradient_summary/l2", norm, data.doubles("/gradient_summary/l2"));
        compare.add("gradient_sum", "gradient_summary/sum", sum, data.doubles("/gradient_summary/sum"));
        compare.add("gradient_dot", "gradient_summary/dot_parameter", dot,
                    data.doubles("/gradient_summary/dot_parameter"));
    }
    if (data.has("/gradient_gamma")) {
        std::vector<double> found;
        for (Index s = 0; s < network.sites(); ++s) {
            found.push_back(static_cast<double>(gradient[static_cast<std::size_t>(network.gate_offset(s))]));
        }
        compare.add("gradient", "gradient_gamma", found, data.doubles("/gradient_gamma"));
    }
    for (const std::string& name :
         data.has("/gradient_input") ? data.datasets("/gradient_input") : std::vector<std::string>{}) {
        const Value g = network.input_gradient(name);
        check(g.valid(), ExitCode::data, "{}: /gradient_input/{} is not an input of the network", data.path(),
              name);
        compare.add("gradient_input", "gradient_input/" + name,
                    published_rows<T>(file, network, "gradient_input", program.info(g), executor.value(g)),
                    data.doubles("/gradient_input/" + name));
    }
    for (const StateBuffer& b : network.states().all()) {
        if (data.has("/buffer_after/" + b.name)) {
            const auto first = next_state.begin() + b.offset;
            compare.add("buffer", "buffer_after/" + b.name, {first, first + b.size},
                        data.doubles("/buffer_after/" + b.name));
        }
    }
    if (data.has("/output/projected")) {
        const Program& projected = network.projected();
        BatchPart<T> again;
        file.batch(projected, {}, again);
        PackedWeights<T> weights(projected);
        weights.renew(trained.data());
        HostExecutor<T> run(projected);
        run.run(again, {.parameters = trained.data(),
                        .state = state.data(),
                        .control = control.data(),
                        .packed = weights.data()});
        compare.add("output", "output/projected", doubles<T>(run.output("prediction")),
                    data.doubles("/output/projected"));
    }
    return compare.finish();
}

} // namespace

VerifyResult verify_file(const std::string& path) {
    const ReferenceFile file(path);
    VerifyResult result{path, file.kind(), file.data().text_attribute("/", "model"), {}, {}, {}};
    check(file.kind() == "model" || file.kind() == "trajectory", ExitCode::data,
          "{}: kind {}; `tether verify` compares files of kind model and trajectory (operation and method "
          "files are "
          "checked by the parity tests)",
          path, file.kind());
    const bool model = file.kind() == "model";
    result.float64.tolerance = 1e-10;
    result.float32.tolerance = 2e-5;
    result.float64.comparisons =
        model ? verify_model<double>(file) : verify_parts::verify_trajectory<double>(file);
    result.float64.compared = true;
    const double error = file.float32_error();
    if (error > result.float32.tolerance) {
        result.note = fmt::format("float32 not compared: ill-conditioned (float32_error {:.1e})", error);
    } else {
        result.float32.comparisons =
            model ? verify_model<float>(file) : verify_parts::verify_trajectory<float>(file);
        result.float32.compared = true;
    }
    return result;
}

} // namespace tether::run
