// Training steps beside recorded ones, with the very engine that trains.
#include "src/run/verify_parts.hpp"
#include "tether/core/error.hpp"
#include "tether/parallel/communicator.hpp"
#include "tether/parallel/thread_team.hpp"
#include "tether/run/engine.hpp"

#include <cmath>

namespace tether::run::verify_parts {
namespace {

double real(const ReferenceFile& file, const std::string& name, double standard) {
    const auto& s = file.settings();
    return s.contains(name) && s[name].is_number() ? s[name].get<double>() : standard;
}

std::vector<double> list(const ReferenceFile& file, const std::string& name, Index sites, double standard) {
    const auto& s = file.settings();
    if (!s.contains(name)) {
        return std::vector<double>(static_cast<std::size_t>(sites), standard);
    }
    auto values = s[name].get<std::vector<double>>();
    check(static_cast<Index>(values.size()) == sites, ExitCode::data, "{}: {} has {} entries, expected {}",
          file.data().path(), name, values.size(), sites);
    return values;
}

methods::MethodSettings method_settings(const ReferenceFile& file) {
    methods::MethodSettings m;
    m.name = "ace";
    const std::string mode = file.text("mode", "equality");
    if (mode.find("released") != std::string::npos) {
        const bool qm9 = mode.find("qm9") != std::string::npos;
        const bool mocap = mode.find("mocap") != std::string::npos;
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
    m.dual.kind = methods::dual_kind(file.text("dual_optimizer", file.text("optimizer", "adam")));
    return m;
}

} // namespace

template <class T>
std::vector<Comparison> verify_trajectory(const ReferenceFile& file) {
    const hdf5::Reader& data = file.data();
    const auto method = methods::make_method(method_settings(file));
    const Network network(file.model(), method->sites(), {.given_features = file.given_features()});
    const auto self = parallel::make_self_communicator();
    parallel::ThreadTeam team(1);
    EngineSettings settings;
    settings.optimiser.kind = optimise::optimiser_kind(file.text("optimizer", "adam"));
    settings.optimiser.weight_decay = real(file, "weight_decay", 0);
    settings.optimiser.clip_norm = real(file, "clip", 0);
    settings.optimiser.eps = real(file, "eps", 1e-8);
    Engine<T> engine(network, *method, settings, parallel::LaneMap(1, 1, 0, 1), *self, team);
    file.load(network, engine.trained(), engine.state());

    const Index sites = network.sites();
    const std::vector<double> gamma0 = list(file, "gamma0", sites, 1);
    const std::vector<double> u0 = list(file, "u0", sites, 0);
    for (Index s = 0; s < sites; ++s) {
        const auto i = static_cast<std::size_t>(s);
        engine.trained()[static_cast<std::size_t>(network.gate_offset(s))] = static_cast<T>(gamma0[i]);
        if (network.policy().slack) {
            engine.trained()[static_cast<std::size_t>(network.slack_offset() + s)] = static_cast<T>(u0[i]);
        }
    }
    engine.renew_weights();
    const std::vector<Index> batches = data.integers("/input/batch");
    const std::vector<Index> shape = data.shape("/input/batch");
    check(shape.size() == 2, ExitCode::data, "{}: /input/batch: expected [steps, simulations]", data.path());
    const auto state = method->start({.sites = sites,
                                      .steps_per_epoch = shape[0],
                                      .epochs = 1,
                                      .lambda = list(file, "lambda0", sites, 0)});

    std::vector<double> loss, total, gamma, lambda, u, gradient_norm, parameter_norm;
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
        engine.read_sites(now_gamma, now_u);
        gamma.insert(gamma.end(), now_gamma.begin(), now_gamma.end());
        u.insert(u.end(), now_u.begin(), now_u.end());
        const auto l = state->control().lambda();
        lambda.insert(lambda.end(), l.begin(), l.end());
        norms(engine.trained(), parameter_norm);
    };
    record();
    for (Index step = 0; step < shape[0]; ++step) {
        const auto first = batches.begin() + step * shape[1];
        const std::vector<Index> samples(first, first + shape[1]);
        BatchPart<T> sizes;
        file.batch(network.training(), samples, sizes);
        const double rows =
            static_cast<double>(sizes.rows(network.target_extent()) * network.target_columns());
        const methods::Control control = state->control();
        engine.compute(
            [&](Index, Index, BatchPart<T>& part) { file.batch(network.training(), samples, part); },
            1 / rows, control);
        engine.read_sites(now_gamma, now_u);
        const StepResult result = engine.update(control, real(file, "lr", 0), true);
        norms(engine.gradient(), gradient_norm);
        state->advance(
            {.step = step, .learning_rate = real(file, "dual_lr", 0), .gamma = now_gamma, .u = now_u});
        loss.push_back(result.loss);
        total.push_back(result.loss + result.extra_loss);
        record();
    }

    Comparer compare;
    compare.add("loss", "loss", loss, data.doubles("/trajectory/loss"));
    compare.add("loss", "total_loss", total, data.doubles("/trajectory/total_loss"));
    compare.add("gamma", "gamma", gamma, data.doubles("/trajectory/gamma"));
    compare.add("lambda", "lambda", lambda, data.doubles("/trajectory/lambda"));
    if (data.has("/trajectory/u")) {
        compare.add("u", "u", u, data.doubles("/trajectory/u"));
    }
    compare.add("gradient_norm", "gradient_norm", gradient_norm, data.doubles("/trajectory/gradient_norm"));
    compare.add("parameter_norm", "parameter_norm", parameter_norm,
                data.doubles("/trajectory/parameter_norm"));
    for (const std::string& name : data.datasets("/final")) {
        const int n = network.parameters().find(name);
        check(n >= 0, ExitCode::data, "{}: /final/{} is no parameter", data.path(), name);
        compare.add("final", "final/" + name, network.parameters().to_published<T>(n, engine.trained()),
                    data.doubles("/final/" + name));
    }
    return compare.finish();
}

template std::vector<Comparison> verify_trajectory<float>(const ReferenceFile&);
template std::vector<Comparison> verify_trajectory<double>(const ReferenceFile&);

} // namespace tether::run::verify_parts
