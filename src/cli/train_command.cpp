#include "tether/cli/train_command.hpp"

#include "tether/cli/arguments.hpp"
#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/run/device_choice.hpp"
#include "tether/run/job_keys.hpp"
#include "tether/run/replicas.hpp"
#include "tether/run/setup.hpp"
#include "tether/run/trainer.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace tether::cli {
namespace {

Usage train_usage() {
    return {
        .command = "train",
        .meaning = "Trains a job. The same command again goes on where it stopped; a finished run is "
                   "recognised and not "
                   "repeated. The last line on stdout names the run's folder.",
        .positional = "JOB.toml",
        .least = 0,
        .most = 1,
        .flags =
            {{.name = "--set",
              .value = "key=value",
              .meaning = "override a key of the job",
              .repeated = true},
             {.name = "--runs", .value = "DIR", .meaning = "folder of runs (default: runs)"},
             {.name = "--threads", .value = "N", .meaning = "threads per rank (default: the cores at hand)"},
             {.name = "--resume",
              .value = "WORD",
              .meaning = "auto: go on if there is something (default); never: a fresh run beside it; require",
              .words = {"auto", "never", "require"}},
             {.name = "--stop-after", .value = "STEP", .meaning = "finish this step, checkpoint, stop"},
             {.name = "--max-wall",
              .value = "SECONDS",
              .meaning = "checkpoint and stop before this time is up (exit 75)"},
             {.name = "--watchdog",
              .value = "SECONDS",
              .meaning = "a phase lasting longer ends the job, exit 13 (default: 300)"},
             {.name = "--device",
              .value = "NAME",
              .meaning =
                  "cpu (default), cuda, or emulation: a device's launches on the host, slow, for tests",
              .words = run::device_names()},
             {.name = "--local-data",
              .value = "DIR",
              .meaning = "copy the data file to this folder of every node's own disk, read it there"},
             {.name = "--check", .meaning = "look for NaN after every operation and name it (slow)"},
             {.name = "--dry-run", .meaning = "print parameters, work and memory of a step, train nothing"},
             {.name = "--print-job", .meaning = "print the resolved job"},
             {.name = "--keys", .meaning = "print all keys of job files"}},
        .example = "tether train jobs/nbody/segnn_ace.toml --set seed=43 --threads 2"};
}

void dry_run(const run::Job& job, parallel::Communicator& world, int threads) {
    const run::Setup setup{run::Job(job)};
    const ParameterSet& p = setup.network->parameters();
    data::BatchOrder order = setup.batch_order();
    const auto rows = setup.rows_of(order.batch(0));
    const models::Work work =
        setup.network->model().step_work(rows.graphs, rows.nodes, rows.edges, setup.network->sites() > 0);
    fmt::print("job           {} ({})\n", job.name, job.short_hash());
    fmt::print("model         {}, method {}, {} sites\n", job.model.name, job.method.label(),
               setup.network->sites());
    fmt::print("parameters    {} equivariant, {} free\n", p.count(ParameterKind::equivariant),
               p.count(ParameterKind::free) + p.count(ParameterKind::gate));
    fmt::print("data          {}: {} training, {} validation, {} test samples\n", setup.set.path,
               setup.set.samples(data::Split::train).size(),
               setup.set.samples(data::Split::validation).size(),
               setup.set.samples(data::Split::test).size());
    fmt::print("batch         {} graphs, {} nodes, {} edges\n", rows.graphs, rows.nodes, rows.edges);
    fmt::print("steps         {} ({} per epoch)\n", setup.total_steps(), setup.steps_per_epoch());
    fmt::print("least work    {:.2f} GFLOP and {:.1f} MB per step\n", work.flop * 1e-9, work.bytes * 1e-6);
    fmt::print("state         {:.1f} MB (parameters, gradient, moments)\n",
               static_cast<double>(setup.network->trained_size()) * 4 * 4e-6);
    fmt::print("ranks         {} of {} threads, {} lanes\n", world.size(), threads, job.parallel.lanes);
}

} // namespace

int train_command(std::span<const std::string> arguments) {
    const Arguments a(train_usage(), arguments);
    if (a.help_shown()) {
        return 0;
    }
    if (a.has("--keys")) {
        fmt::print("{}", run::print_keys());
        return 0;
    }
    check(a.positional().size() == 1, "train: expected one job file, found none (see tether train --help)");
    run::TrainOptions options;
    options.runs = a.value_or("--runs", "runs");
    options.threads = static_cast<int>(a.integer_or("--threads", 0, 1, 4096));
    options.resume = run::resume_of(a.value_or("--resume", "auto"));
    options.stop_after = a.integer_or("--stop-after", 0, 1, Index{1} << 60);
    options.max_wall = a.real("--max-wall", 0, 1e9);
    options.watchdog = std::chrono::seconds(a.integer_or("--watchdog", 300, 1, 1'000'000));
    options.local_data = a.value_or("--local-data", "");
    options.checking = a.has("--check") ? Checking::debug : Checking::none;
    const std::vector<run::Job> jobs = run::replica_jobs(a.positional().front(), a.values("--set"));
    const run::Job& job = jobs.front();
    if (a.has("--print-job")) {
        fmt::print("{}", job.resolved());
        return 0;
    }
    options.device = a.value_or("--device", "cpu");
    const auto world = parallel::make_communicator();
    log::set_quiet(world->rank() != 0);
    int code = 0;
    const int failed = parallel::guarded(*world, [&] {
        if (a.has("--dry-run")) {
            if (world->rank() == 0) {
                dry_run(job, *world, options.threads > 0 ? options.threads : run::default_threads(*world));
            }
            return;
        }
        const std::vector<run::TrainResult> results = run::train_replicas(jobs, options, *world);
        for (const run::TrainResult& result : results) {
            code = std::max(code, static_cast<int>(result.code)); // 75: some of them want to be started again
            if (world->rank() == 0 || jobs.size() > 1) {
                if (result.was_complete) {
                    log::info("this run is complete; --resume never starts a fresh one beside it");
                }
                fmt::print("run {}\n", result.folder);
            }
        }
    });
    return failed != 0 ? failed : code;
}

} // namespace tether::cli
