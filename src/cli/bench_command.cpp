#include "tether/cli/bench_command.hpp"

#include "tether/cli/allocation_counter.hpp"
#include "tether/cli/arguments.hpp"
#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/run/benchmark.hpp"
#include "tether/run/device_choice.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace tether::cli {
namespace {

void print_json(const run::BenchmarkResult& r) {
    nlohmann::json j;
    j["job"] = r.job;
    j["device"] = r.device;
    j["instruction_set"] = r.instruction_set;
    j["ranks"] = r.ranks;
    j["threads"] = r.threads;
    j["lanes"] = r.lanes;
    j["lanes_at_once"] = r.lanes_at_once;
    j["batch"] = r.batch;
    j["rows"] = {{"nodes", r.nodes}, {"edges", r.edges}};
    j["parameters"] = r.parameters;
    j["step_ms"] = {{"median", r.step_ms.median}, {"min", r.step_ms.least}, {"max", r.step_ms.most}};
    j["split_ms"] = {{"data", r.data_ms.median},         {"forward", r.forward_ms.median},
                     {"backward", r.backward_ms.median}, {"reduce", r.reduce_ms.median},
                     {"optimise", r.optimise_ms.median}, {"coordinator", r.coordinator_ms.median}};
    j["gflop_step"] = r.gflop_step;
    j["gflop_executed"] = r.gflop_executed;
    j["gbyte_step"] = r.gbyte_step;
    j["peak_gflops"] = r.peak_gflops;
    j["peak_gbs"] = r.peak_gbs;
    j["peak_product_gflops"] = r.peak_product_gflops; // of a device, by this library's product
    j["floor_ms"] = r.floor_ms();
    j["over_floor"] = r.over_floor();
    j["arena_mb"] = r.arena_mb;
    j["allocations_per_step"] = r.allocations_per_step;
    j["launches_per_step"] = r.launches_per_step; // of a device; the cores have none
    j["stages_per_step"] = r.stages;
    j["levels_per_step"] = r.levels;
    j["phases_per_step"] = r.phases;
    j["product_phases_per_step"] = r.product_phases;
    j["graph_replays_per_step"] = r.replays_per_step;
    j["host_syncs_per_step"] = r.waits_per_step;
    fmt::print("{}\n", j.dump(2));
}

void print_table(const run::BenchmarkResult& r) {
    fmt::print("{}: {} graphs, {} nodes, {} edges, {} parameters; {} rank(s) x {} thread(s), {}, {} of {} "
               "lanes at once\n",
               r.job, r.batch, r.nodes, r.edges, r.parameters, r.ranks, r.threads, r.instruction_set,
               r.lanes_at_once, r.lanes);
    fmt::print("step         {:8.3f} ms median, {:.3f} to {:.3f}\n", r.step_ms.median, r.step_ms.least,
               r.step_ms.most);
    fmt::print("  data       {:8.3f}\n  forward    {:8.3f}\n  backward   {:8.3f}\n  reduce     {:8.3f}\n  "
               "optimise   {:8.3f}\n"
               "  coordinator{:8.3f}\n",
               r.data_ms.median, r.forward_ms.median, r.backward_ms.median, r.reduce_ms.median,
               r.optimise_ms.median, r.coordinator_ms.median);
    fmt::print("work         {:8.3f} GFLOP at least, {:.3f} executed; {:.1f} MB at least\n", r.gflop_step,
               r.gflop_executed, 1e3 * r.gbyte_step);
    fmt::print("peak         {:8.1f} GFLOP/s, {:.1f} GB/s (measured)\n", r.peak_gflops, r.peak_gbs);
    fmt::print("floor        {:8.3f} ms; step / floor {:.2f}\n", r.floor_ms(), r.over_floor());
    fmt::print("arena        {:8.1f} MB; {:.2f} allocations per step\n", r.arena_mb, r.allocations_per_step);
    if (r.device != "cpu") {
        fmt::print("device       {}: {:.1f} launches in {} stages of together {} levels and {} phases ({} "
                   "of products), {:.1f} graph replays "
                   "and {:.1f} waits of the host per step\n",
                   r.device, r.launches_per_step, r.stages, r.levels, r.phases, r.product_phases,
                   r.replays_per_step, r.waits_per_step);
    }
    for (const auto& [name, count] : r.launch_counts) {
        fmt::print("{:6} launches  {}\n", count, name);
    }
    for (const run::OperationTime& o : r.operations) {
        fmt::print("{:9.4f} ms {:8.1f} GFLOP/s  {}\n", o.ms_per_step, o.gflops, o.name);
    }
}

} // namespace

int bench_command(std::span<const std::string> arguments) {
    const Usage usage{
        .command = "bench",
        .meaning =
            "Times whole training steps of a job on its data, with the machine's peak measured just before.",
        .positional = "JOB.toml",
        .least = 1,
        .most = 1,
        .flags =
            {{.name = "--steps", .value = "N", .meaning = "steps that are timed (default 100)"},
             {.name = "--warmup", .value = "N", .meaning = "steps before (default 20)"},
             {.name = "--threads", .value = "N", .meaning = "threads per rank (default: the cores at hand)"},
             {.name = "--set",
              .value = "key=value",
              .meaning = "override a key of the job",
              .repeated = true},
             {.name = "--device",
              .value = "NAME",
              .meaning = "cpu (default), cuda, or emulation",
              .words = run::device_names()},
             {.name = "--profile",
              .meaning = "also list the time of every operation (first thread), or the launches of a device"},
             {.name = "--json", .meaning = "print JSON"}},
        .example = "tether bench jobs/nbody/segnn_ace.toml --steps 200 --threads 2"};
    const Arguments a(usage, arguments);
    if (a.help_shown()) {
        return 0;
    }
    run::BenchmarkOptions options;
    options.steps = a.integer_or("--steps", 100, 1, 10'000'000);
    options.warmup = a.integer_or("--warmup", 20, 0, 10'000'000);
    options.threads = static_cast<int>(a.integer_or("--threads", 0, 1, 4096));
    options.device = a.value_or("--device", "cpu");
    options.profile = a.has("--profile");
    options.allocation_count = allocation_count;
    const run::Job job = run::read_job(a.positional().front(), a.values("--set"));
    const auto world = parallel::make_communicator();
    log::set_quiet(world->rank() != 0);
    return parallel::guarded(*world, [&] {
        const run::BenchmarkResult r = run::benchmark(job, options, *world);
        if (world->rank() == 0) {
            if (a.has("--json")) {
                print_json(r);
            } else {
                print_table(r);
            }
        }
    });
}

} // namespace tether::cli
