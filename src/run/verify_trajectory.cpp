// Training steps beside recorded ones, with the very engine that trains.
#include "src/run/verify_parts.hpp"
#include "tether/core/error.hpp"
#include "tether/parallel/communicator.hpp"
#include "tether/parallel/thread_team.hpp"
#include "tether/run/host_engine.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace tether::run::verify_parts {
namespace {

// A setting that files keep at the top level, or inside an object under another name; null: neither.
struct Names {
    const char* flat;
    const char* group;
    const char* inside;
};
constexpr Names lr{"lr", "primal", "lr"}, eps{"eps", "primal", "eps"},
    weight_decay{"weight_decay", "primal", "weight_decay"}, clip{"clip", "primal", "clip_global_norm"},
    optimizer{"optimizer", "primal", "optimizer"}, dual_lr{"dual_lr", "dual", "lr"},
    dual_eps{"dual_eps", "dual", "eps"}, dual_optimizer{"dual_optimizer", "dual", "optimizer"},
    gamma0{"gamma0", "start", "gamma"}, lambda0{"lambda0", "start", "lam"}, u0{"u0", "start", "u"};

nlohmann::json find(const ReferenceFile& file, const Names& names) {
    const nlohmann::json& s = file.settings();
    if (s.contains(names.flat)) {
        return s[names.flat];
    }
    const bool grouped =
        s.contains(names.group) && s[names.group].is_object() && s[names.group].contains(names.inside);
    return grouped ? s[names.group][names.inside] : nlohmann::json{};
}

double real(const ReferenceFile& file, const Names& names, double standard) {
    const nlohmann::json value = find(file, names);
    return value.is_number() ? value.get<double>() : standard;
}

double real(const ReferenceFile& file, const char* name, double standard) {
    return real(file, {name, "", ""}, standard);
}

std::string text(const ReferenceFile& file, const Names& names, const std::string& standard) {
    const nlohmann::json value = find(file, names);
    return value.is_string() ? value.get<std::string>() : standard;
}

std::vector<double> list(const ReferenceFile& file, const Names& names, Index sites, double standard) {
    const nlohmann::json value = find(file, names);
    if (!value.is_array()) {
        return std::vector<double>(static_cast<std::size_t>(sites), standard);
    }
    auto values = value.get<std::vector<double>>();
    check(static_cast<Index>(values.size()) == sites, ExitCode::data, "{}: {} has {} entries, expected {}",
          file.data().path(), names.flat, values.size(), sites);
    return values;
}

// Where an epoch ends matters to one released form. Steps are numbered so that every epoch ends at a
// multiple of the longest one.
struct Epochs {
    std::vector<Index> number; // of each step
    Index longest = 1;
};

Epochs epochs(const ReferenceFile& file, Index steps) {
    std::vector<Index> lengths{steps};
    if (const nlohmann::json& s = file.settings(); s.contains("epochs")) {
        lengths = s["epochs"].get<std::vector<Index>>();
    }
    Epochs result{{}, *std::ranges::max_element(lengths)};
    Index end = 0;
    for (const Index length : lengths) {
        end += result.longest;
        for (Index k = 0; k < length; ++k) {
            result.number.push_back(end - length + k);
        }
    }
    check(static_cast<Index>(result.number.size()) == steps, ExitCode::data,
          "{}: epochs of {} steps together, expected {}", file.data().path(), result.number.size(), steps);
    return result;
}

// Numbers that the files say to compare with a tolerance of their own.
struct Loosely {
    std::vector<std::string> names;
    double scale = 0; // that makes this tolerance the ordinary one
    [[nodiscard]] double scale_of(const std::string& name) const {
        return std::ranges::find(names, name) == names.end() ? 0 : scale;
    }
};

// Gradients that are zero up to rounding, which Adam turns into whole steps. In float32 the rounding is
// as large as those gradients are: all that can be said is how far such a parameter can have come.
template <class T>
Loosely loosely(const ReferenceFile& file, Index steps, double learning_rate) {
    Loosely result;
    if (file.data().has_attribute("/", "compare_loosely")) {
        const auto rule = nlohmann::json::parse(file.data().text_attribute("/", "compare_loosely"));
        result.names = rule.at("names").get<std::vector<std::string>>();
        constexpr bool single = sizeof(T) == sizeof(float);
        const double tolerance = single ? 2 * static_cast<double>(steps) * learning_rate
                                        : rule.at("absolute_tolerance").get<double>();
        result.scale = tolerance / (single ? 2e-5 : 1e-10);
    }
    return result;
}

methods::MethodSettings method_settings(const ReferenceFile& file) {
    methods::MethodSettings m;
    m.name = "ace";
    const std::string mode = file.text("mode", "equality");
    if (mode.find("released") != std::string::npos) {
        const bool qm9 = mode.find("qm9") != std::string::npos;
        const bool mocap = file.data().text_attribute("/", "model").starts_with("egno");
        m.values.set("constraint", std::string("resilient"));
        m.values.set("variant",
                     std::string(qm9 ? "released-qm9" : (mocap ? "released-mocap" : "released-nbody")));
    } else {
        m.values.set("constraint",
                     std::string(mode.find("resilient") != std::string::npos ? "resilient" : "equality"));
        m.values.set("variant", std::string("specified"));
    }
    m.values.set("epsilon", real(file, "epsilon", 0));
    m.values.set("rho", real(file, "rho", 1));
    m.values.set("augmented", real(file, "augmented", 0));
    m.dual.kind = methods::dual_kind(text(file, dual_optimizer, text(file, optimizer, "adam")));
    m.dual.eps = real(file, dual_eps, m.dual.eps);
    return m;
}

template <class T>
double mean_square_of_last_time(const Network& network, const BatchPart<T>& part, std::span<const T> found) {
    const models::FieldInfo target = network.model().target();
    const auto& fields = network.training().fields;
    const auto number = std::ranges::find(fields, target.name) - fields.begin();
    const std::vector<T>& right = part.field[static_cast<std::size_t>(number)];
    const auto width = static_cast<std::size_t>(target.columns);
    const auto times = static_cast<std::size_t>(target.extent.times);
    double sum = 0;
    for (std::size_t i = 0; i < right.size(); ++i) {
        const double d = static_cast<double>(found[i]) - static_cast<double>(right[i]);
        sum += i / width % times == times - 1 ? d * d : 0;
    }
    const std::size_t last = right.size() / times;
    return sum / static_cast<double>(last);
}

} // namespace

template <class T>
std::vector<Comparison> verify_trajectory(const ReferenceFile& file) {
    const hdf5::Reader& data = file.data();
    const auto method = methods::make_method(method_settings(file));
    const Network network(file.model(), method->sites(), {.given_features = file.given_features()});
    const Network kept(file.model(), method->sites(),
                       {.keep = true, .given_features = file.given_features()});
    const auto self = parallel::make_self_communicator();
    parallel::ThreadTeam team(1);
    EngineSettings settings;
    settings.optimiser.kind = optimise::optimiser_kind(text(file, optimizer, "adam"));
    settings.optimiser.weight_decay = real(file, weight_decay, 0);
    settings.optimiser.clip_norm = real(file, clip, 0);
    settings.optimiser.eps = real(file, eps, 1e-8);
    HostEngine<T> engine(network, *method, settings, parallel::LaneMap(1, 1, 0, 1), *self, team);
    std::vector<T> trained;
    file.load(network, trained, engine.state());

    const Index sites = network.sites();
    const std::vector<double> first_gamma = list(file, gamma0, sites, 1);
    const std::vector<double> first_u = list(file, u0, sites, 0);
    for (Index s = 0; s < sites; ++s) {
        const auto i = static_cast<std::size_t>(s);
        trained[static_cast<std::size_t>(network.gate_offset(s))] = static_cast<T>(first_gamma[i]);
        if (network.policy().slack) {
            trained[static_cast<std::size_t>(network.slack_offset() + s)] = static_cast<T>(first_u[i]);
        }
    }
    engine.set_trained(trained);
    const std::vector<Index> batches = data.integers("/input/batch");
    const std::vector<Index> shape = data.shape("/input/batch");
    check(shape.size() == 2, ExitCode::data, "{}: /input/batch: expected [steps, simulations]", data.path());
    const Epochs epoch = epochs(file, shape[0]);
    const auto state = method->start({.sites = sites,
                                      .steps_per_epoch = epoch.longest,
                                      .epochs = shape[0],
                                      .lambda = list(file, lambda0, sites, 0)});
    const Loosely loose = loosely<T>(file, shape[0], real(file, lr, 0));
    const bool global_norm = data.has("/trajectory/global_gradient_norm");
    Comparer compare;
    // Parameters and buffers under `group`, as they are now.
    const auto compare_state = [&](const std::string& group) {
        for (const std::string& name : data.datasets("/" + group)) {
            std::vector<double> found;
            if (const int n = network.parameters().find(name); n >= 0) {
                found = network.parameters().to_published<T>(n, engine.trained());
            } else {
                const auto& buffers = network.states().all();
                const auto buffer = std::ranges::find(buffers, name, &StateBuffer::name);
                check(buffer != buffers.end(), ExitCode::data, "{}: /{}/{} is no parameter and no buffer",
                      data.path(), group, name);
                const auto from = engine.state().begin() + buffer->offset;
                found.assign(from, from + buffer->size);
            }
            compare.add(group, group + "/" + name, found, data.doubles("/" + group + "/" + name),
                        loose.scale_of(name));
        }
    };

    std::vector<double> loss, last_loss, total, gamma, lambda, u, gradient_norm, parameter_norm;
    const std::vector<std::string> names = data.strings("/trajectory/parameter_name");
    const auto norms = [&](std::span<const T> flat, std::vector<double>& to) {
        for (const std::string& name : names) {
            const int n = network.parameters().find(name);
            check(n >= 0, ExitCode::data, "{}: /trajectory/parameter_name holds {}, which is no parameter",
                  data.path(), name);
            double square = 0;
            for (const double x : network.parameters().to_published<T>(n, flat)) {
                square += x * x;
            }
            to.push_back(std::sqrt(square));
        }
    };
    const auto site_count = static_cast<std::size_t>(sites);
    std::vector<double> now_gamma(site_count), now_u(network.policy().slack ? site_count : 0);
    const auto record = [&] {
        engine.read_sites(std::as_const(*state).control(), now_gamma, now_u);
        gamma.insert(gamma.end(), now_gamma.begin(), now_gamma.end());
        u.insert(u.end(), now_u.begin(), now_u.end());
        const auto l = state->control().lambda();
        lambda.insert(lambda.end(), l.begin(), l.end());
        norms(engine.trained(), parameter_norm);
    };
    record();
    // The training forward once more, on its own: batch statistics, the state as before the step.
    const auto loss_of_last_time = [&](const BatchPart<T>& part) {
        const Program& program = kept.training();
        PackedWeights<T> packed(program);
        packed.renew(engine.trained().data());
        std::vector<T> next_state = engine.state();
        const std::vector<T> factor{T(1)};
        HostExecutor<T> executor(program);
        executor.run_nodes(part,
                           {.parameters = engine.trained().data(),
                            .state = engine.state().data(),
                            .next_state = next_state.data(),
                            .control = factor.data(),
                            .packed = packed.data()},
                           0, program.forward_nodes);
        return mean_square_of_last_time<T>(kept, part, executor.output("prediction"));
    };
    for (Index step = 0; step < shape[0]; ++step) {
        const auto first = batches.begin() + step * shape[1];
        const std::vector<Index> samples(first, first + shape[1]);
        BatchPart<T> sizes;
        file.batch(network.training(), samples, sizes);
        const double rows =
            static_cast<double>(sizes.rows(network.target_extent()) * network.target_columns());
        const methods::Control control = state->control();
        if (data.has("/trajectory/loss_last_time")) {
            last_loss.push_back(loss_of_last_time(sizes));
        }
        engine.compute(
            [&](Index, Index, BatchPart<T>& part) { file.batch(network.training(), samples, part); },
            1 / rows, control);
        engine.read_sites(control, now_gamma, now_u);
        engine.update(control, real(file, lr, 0), true);
        const StepResult result = engine.result();
        if (global_norm) {
            gradient_norm.push_back(result.gradient_norm);
        } else {
            norms(engine.gradient(), gradient_norm);
        }
        for (const std::string& name : step == 0 && data.has("/gradient_step_1")
                                           ? data.datasets("/gradient_step_1")
                                           : std::vector<std::string>{}) {
            const int n = network.parameters().find(name);
            check(n >= 0, ExitCode::data, "{}: /gradient_step_1/{} is no parameter", data.path(), name);
            compare.add("gradient_step_1", "gradient_step_1/" + name,
                        network.parameters().to_published<T>(n, engine.gradient()),
                        data.doubles("/gradient_step_1/" + name));
        }
        state->advance({.step = epoch.number[static_cast<std::size_t>(step)],
                        .learning_rate = real(file, dual_lr, 0),
                        .gamma = now_gamma,
                        .u = now_u});
        loss.push_back(result.loss);
        total.push_back(result.loss + result.extra_loss);
        record();
        if (step == 0 && data.has("/weight_after_1")) {
            compare_state("weight_after_1");
        }
    }

    const auto add = [&](const std::string& kind, const std::string& name, const std::vector<double>& found) {
        if (data.has("/trajectory/" + name)) {
            compare.add(kind, name, found, data.doubles("/trajectory/" + name));
        }
    };
    check(data.has("/trajectory/loss") && data.has("/trajectory/gamma"), ExitCode::data,
          "{}: /trajectory has no loss or no gamma", data.path());
    add("loss", "loss", loss);
    add("loss", "total_loss", total);
    add("loss", "loss_last_time", last_loss);
    add("gamma", "gamma", gamma);
    add("lambda", "lambda", lambda);
    add("u", "u", u);
    add("gradient_norm", global_norm ? "global_gradient_norm" : "gradient_norm", gradient_norm);
    const std::vector<double> norm = data.doubles("/trajectory/parameter_norm");
    check(norm.size() == parameter_norm.size(), ExitCode::data,
          "{}: /trajectory/parameter_norm has {} numbers, expected {}", data.path(), norm.size(),
          parameter_norm.size());
    for (std::size_t n = 0; n < names.size(); ++n) {
        std::vector<double> found, expected;
        for (std::size_t at = n; at < norm.size(); at += names.size()) {
            found.push_back(parameter_norm[at]);
            expected.push_back(norm[at]);
        }
        compare.add("parameter_norm", "parameter_norm/" + names[n], found, expected,
                    loose.scale_of(names[n]));
    }
    compare_state("final");
    return compare.finish();
}

template std::vector<Comparison> verify_trajectory<float>(const ReferenceFile&);
template std::vector<Comparison> verify_trajectory<double>(const ReferenceFile&);

} // namespace tether::run::verify_parts
