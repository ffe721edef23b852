// Collective under mpirun: chunks of the split are spread over ranks and threads; the figures are the
// same for any number of them.
#include "tether/cli/eval_command.hpp"

#include "eval_sites.hpp"
#include "tether/cli/arguments.hpp"
#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/core/text.hpp"
#include "tether/run/description.hpp"
#include "tether/run/probe.hpp"
#include "tether/run/run_file_reader.hpp"
#include "tether/run/stored_run.hpp"
#include "tether/run/trainer.hpp"
#include "tether/run/turning.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace tether::cli {
namespace {

struct Metric {
    std::string name, units, meaning;
    double value = 0;
};

struct Result {
    double loss = 0;
    std::vector<Metric> metrics;
    methods::EquivarianceError error;
    Index samples = 0, measured = 0, elements = 0;
    std::string units;                     // of the target
    std::string group;                     // of the equivariance error
    std::optional<run::ProbeResult> probe; // where there are sites
};

Usage eval_usage() {
    return {
        .command = "eval",
        .meaning = "Evaluates a stored run: loss, metrics in the units of the data, equivariance error. "
                   "Works while the "
                   "run is being trained (it reads checkpoints only).",
        .positional = "RUN",
        .least = 1,
        .most = 1,
        .flags =
            {{.name = "--checkpoint",
              .value = "KIND",
              .meaning = "best-projected, best-relaxed or last (default: the best of the mode)",
              .words = {"best-projected", "best-relaxed", "last"}},
             {.name = "--split",
              .value = "NAME",
              .meaning = "validation, test (default), or out-of-distribution where the data have such a part",
              .words = {"validation", "test", "out-of-distribution"}},
             {.name = "--mode",
              .value = "NAME",
              .meaning = "projected (gamma = 0) or relaxed (default: the method's primary evaluation)",
              .words = {"projected", "relaxed"}},
             {.name = "--elements",
              .value = "N",
              .meaning = "random group elements per sample for the equivariance error, 0: none (default: "
                         "train.final_equivariance_samples)"},
             {.name = "--data", .value = "FILE.h5", .meaning = "data file (default: that of the run)"},
             {.name = "--threads", .value = "N", .meaning = "threads per rank (default: the cores at hand)"},
             {.name = "--json", .meaning = "print one JSON object"}},
        .example = "tether eval runs/segnn-ace-0123456789ab --split test"};
}

const char* mode_name(run::Mode mode) { return mode == run::Mode::projected ? "projected" : "relaxed"; }

// Evaluating on other data than trained with is allowed, but not by accident.
void compare_data(const run::StoredRun& run, const run::Setup& setup) {
    std::string trained_on;
    try {
        trained_on = run::RunFileReader(run.folder() + "/run.h5").text("data_sha256");
    } catch (const Error&) {
        return; // no run file (any more): nothing to compare with
    }
    if (trained_on != setup.set.sha256) {
        log::warning("{}: its content (sha256 {}) is not what the run was trained on ({})", setup.set.path,
                     setup.set.sha256.substr(0, 12), trained_on.substr(0, 12));
    }
}

template <class T>
Result evaluate(const run::StoredRun& run, const run::Setup& setup, run::Mode mode, data::Split split,
                Index elements, parallel::Communicator& world, int threads) {
    constexpr Index measured_samples = 100; // as during training
    parallel::ThreadTeam team(threads);
    run::Evaluator<T> evaluator(setup, world, team, nullptr);
    const std::vector<T> trained = run.trained<T>();
    const std::vector<T> state = run.state<T>();
    Result r;
    r.samples = static_cast<Index>(setup.set.samples(split).size());
    r.loss = evaluator.loss(mode, split, trained, state, run.numbers().gates);
    r.elements = elements;
    r.group = run::group_text(setup.set.group);
    if (elements > 0) {
        r.measured = std::min(measured_samples, r.samples);
        r.error =
            evaluator.equivariance(mode, split, r.measured, elements, trained, state, run.numbers().gates);
    }
    if (setup.network->sites() > 0) {
        r.probe = run::SiteProbe<T>(setup).measure(trained, state, run.numbers().gates, run.numbers().gates);
    }
    const models::Model& model = setup.network->model();
    r.units = setup.set.field(model.target().name).units;
    r.units = r.units.empty() ? "1" : r.units;
    if (model.loss() == models::LossKind::squared) {
        const run::Quantity mse = run::headline_of(setup);
        r.metrics = {{mse.name, mse.units, mse.long_name, r.loss},
                     {"rmse", r.units, "root " + mse.long_name, std::sqrt(r.loss)}};
    } else {
        r.metrics = {{"mae", r.units, "mean absolute error", r.loss}};
    }
    return r;
}

void print_json(const run::StoredRun& run, run::Mode mode, const std::string& split, const Result& r) {
    nlohmann::json metrics = nlohmann::json::object();
    for (const Metric& m : r.metrics) {
        metrics[m.name] = {{"value", m.value}, {"units", m.units}, {"long_name", m.meaning}};
    }
    nlohmann::json error = nullptr;
    if (r.elements > 0) {
        error = {{"mean", r.error.mean},
                 {"max", r.error.maximum},
                 {"relative", r.error.relative},
                 {"sample_mean", r.error.sample_mean},
                 {"averaged", r.error.averaged},
                 {"min", r.error.minimum},
                 {"units", r.units},
                 {"group", r.group},
                 {"samples", r.measured},
                 {"elements", r.elements}};
    }
    const nlohmann::json sites = r.probe ? sites_json(run, *r.probe) : nlohmann::json();
    fmt::print("{}\n", nlohmann::json{{"run", run.folder()},
                                      {"model", run.job().model.name},
                                      {"method", run.job().method.label()},
                                      {"checkpoint", run.checkpoint()},
                                      {"step", run.step()},
                                      {"split", split},
                                      {"mode", mode_name(mode)},
                                      {"samples", r.samples},
                                      {"loss", r.loss},
                                      {"metrics", metrics},
                                      {"equivariance_error", error},
                                      {"sites", sites}}
                           .dump(1));
}

void print_table(const run::StoredRun& run, run::Mode mode, const std::string& split, const Result& r) {
    const auto with_units = [](const std::string& units) { return units == "1" ? "" : " " + units; };
    fmt::print("run           {} ({}, {})\n", run.folder(), run.job().model.name, run.job().method.label());
    fmt::print("checkpoint    {} (step {})\n", run.checkpoint(), run.step());
    fmt::print("evaluated     {}, {} samples of the {} split\n", mode_name(mode), r.samples, split);
    fmt::print("loss          {:.6e}\n", r.loss);
    for (const Metric& m : r.metrics) {
        fmt::print("{:<13} {:.6e}{}  {}\n", m.name, m.value, with_units(m.units), m.meaning);
    }
    if (r.elements > 0) {
        const std::string units = with_units(r.units);
        fmt::print("equivariance error under {}, {} samples, {} elements each:\n", r.group, r.measured,
                   r.elements);
        fmt::print("  mean        {:.3e}{}  of a row\n", r.error.mean, units);
        fmt::print("  max         {:.3e}{}  largest component\n", r.error.maximum, units);
        fmt::print("  relative    {:.3e}  mean over the mean row of the output\n", r.error.relative);
        fmt::print("  E'          {:.3e}{}  of a sample, mean over elements\n", r.error.sample_mean, units);
        fmt::print("  E           {:.3e}{}  of a sample's mean over elements\n", r.error.averaged, units);
    }
    if (r.probe) {
        fmt::print("{}", sites_text(run, *r.probe, with_units(r.units)));
    }
}

} // namespace

int eval_command(std::span<const std::string> arguments) {
    const Arguments a(eval_usage(), arguments);
    if (a.help_shown()) {
        return 0;
    }
    const std::string split_word = a.value_or("--split", "test");
    const data::Split split = split_word == "test"         ? data::Split::test
                              : split_word == "validation" ? data::Split::validation
                                                           : data::Split::out_of_distribution;
    std::optional<run::Mode> mode;
    if (const auto word = a.value("--mode")) {
        mode = *word == "projected" ? run::Mode::projected : run::Mode::relaxed;
    }
    std::optional<run::CheckpointKind> kind;
    if (const auto word = a.value("--checkpoint")) {
        kind = run::kind_of(*word);
    } else if (mode) {
        kind = *mode == run::Mode::projected ? run::CheckpointKind::best_projected
                                             : run::CheckpointKind::best_relaxed;
    }
    const auto wanted_elements = a.integer("--elements", 0, 1'000'000);
    const auto wanted_threads = static_cast<int>(a.integer_or("--threads", 0, 1, 4096));
    const auto world = parallel::make_communicator();
    log::set_quiet(world->rank() != 0);
    return parallel::guarded(*world, [&] {
        const run::StoredRun run(a.positional().front(), kind, a.value_or("--data", ""));
        check(run::data_file_found(run.job()), ExitCode::data,
              "{}: its data file is not here (looked for {}); name it with --data FILE.h5, or go to the "
              "folder where "
              "training was started",
              run.folder(), join(run.job().candidates(run.job().data.file), ", "));
        const run::Setup setup{run::Job(run.job())};
        compare_data(run, setup);
        const run::Mode used = mode.value_or(run.primary());
        const Index elements = wanted_elements.value_or(run.job().train.final_equivariance_samples);
        const int threads = wanted_threads > 0 ? wanted_threads : run::default_threads(*world);
        const Result r = run::is_single(run.job().train.precision)
                             ? evaluate<float>(run, setup, used, split, elements, *world, threads)
                             : evaluate<double>(run, setup, used, split, elements, *world, threads);
        if (world->rank() == 0) {
            if (a.has("--json")) {
                print_json(run, used, split_word, r);
            } else {
                print_table(run, used, split_word, r);
            }
        }
    });
}

} // namespace tether::cli
