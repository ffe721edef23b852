#include "tether/cli/sweep_command.hpp"

#include "sweep_table.hpp"

#include "tether/cli/arguments.hpp"
#include "tether/cli/table.hpp"
#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/core/text.hpp"
#include "tether/run/signals.hpp"
#include "tether/run/sweep_executor.hpp"
#include "tether/run/sweep_slurm.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <sstream>
#include <thread>
#include <unistd.h>

namespace tether::cli {
namespace {

using run::Ledger;
using run::LedgerRow;
using run::Manifest;

const Flag as_frozen{.name = "--as-frozen",
                     .meaning = "go on although the sweep or job file was edited since; the data never may"};

Manifest open_sweep(const std::string& directory) {
    check(!directory.ends_with(".toml"),
          "{}: expected the folder that `tether sweep plan {} --out DIR` makes", directory, directory);
    return Manifest::read(directory);
}

std::vector<std::string> words_of(const std::string& text) {
    std::istringstream words(text);
    std::vector<std::string> out;
    for (std::string word; words >> word;) {
        out.push_back(word);
    }
    return out;
}

std::string this_program() {
    std::error_code error;
    const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
    return error ? "tether" : path.string();
}

// What Slurm holds; where it cannot be asked that is said once, and the folders tell the rest.
std::set<std::string> queue_of(const Manifest& manifest, std::string& unknown) {
    if (!unknown.empty()) {
        return {};
    }
    try {
        return run::queued_runs(manifest);
    } catch (const Error& problem) {
        unknown = problem.what();
        log::info("{}", unknown);
        return {};
    }
}

int plan(std::span<const std::string> arguments) {
    const Arguments a(
        {.command = "sweep plan",
         .meaning = "Freezes a sweep into a folder: every run's resolved job, checksums of what was "
                    "read, what the runs are expected to cost. Nothing is started. The same plan "
                    "again changes nothing.",
         .positional = "SWEEP.toml",
         .least = 1,
         .most = 1,
         .flags = {{.name = "--out", .value = "DIR", .meaning = "the sweep's folder (default: sweeps/NAME)"},
                   {.name = "--bench-steps",
                    .value = "N",
                    .meaning = "steps timed of every kind of job; 0: no cost (default: 10)"},
                   {.name = "--dry-run", .meaning = "print the runs, write nothing"}},
         .example = "tether sweep plan jobs/sweeps/nbody_methods.toml --out sweeps/methods"},
        arguments);
    if (a.help_shown()) {
        return 0;
    }
    const run::Sweep sweep = run::read_sweep(a.positional().front());
    if (a.has("--dry-run")) {
        std::vector<std::vector<std::string>> rows{{"run", "model", "method", "differs in"}};
        for (const run::SweepRun& r : sweep.runs) {
            const run::Job job = sweep.job(r);
            rows.push_back({job.folder_name(), job.model.name, job.method.label(), r.description()});
        }
        fmt::print("{}", table_text(rows, "llll"));
        return 0;
    }
    const std::string out = a.value_or("--out", "sweeps/" + sweep.name);
    const bool fresh = run::freeze(sweep, out, a.integer_or("--bench-steps", 10, 0, 100'000));
    const Manifest manifest = Manifest::read(out);
    const std::vector<LedgerRow> rows = Ledger(manifest).rows();
    log::info("{}{}; {}{}", out, fresh ? "" : ": planned already", ledger_summary(rows),
              cost_left(rows).empty() ? "" : "; " + cost_left(rows));
    fmt::print("sweep {}\n", out);
    return 0;
}

int run_here(std::span<const std::string> arguments) {
    const Arguments a(
        {.command = "sweep run",
         .meaning =
             "Works through a sweep on this machine, several trainings at once. Killing or stopping it is "
             "always safe (the trainings checkpoint), starting it again goes on, starting it twice shares "
             "the work. Exit code 0: all complete; 75: stopped; else that of the first failed run.",
         .positional = "DIR",
         .least = 1,
         .most = 1,
         .flags = {{.name = "--at-once",
                    .value = "N",
                    .meaning = "trainings at once (default: cores / threads)"},
                   {.name = "--threads", .value = "N", .meaning = "threads of each training (default: 1)"},
                   {.name = "--memory",
                    .value = "GB",
                    .meaning = "for all of them (default: nine tenths of what is free)"},
                   {.name = "--launcher",
                    .value = "WORDS",
                    .meaning = "in front of every training: \"mpirun -n 2\""},
                   {.name = "--device",
                    .value = "NAME",
                    .meaning = "cpu (default) or cuda",
                    .words = {"cpu", "cuda"}},
                   as_frozen},
         .example = "tether sweep run sweeps/methods --at-once 4"},
        arguments);
    if (a.help_shown()) {
        return 0;
    }
    const Manifest manifest = open_sweep(a.positional().front());
    manifest.check_unchanged(!a.has("--as-frozen"));
    const std::string device = a.value_or("--device", "cpu");
    run::ExecutorOptions options;
    options.threads = static_cast<int>(a.integer_or("--threads", 1, 1, 4096));
    options.at_once = static_cast<int>(a.integer_or("--at-once", device == "cuda" ? 1 : 0, 0, 4096));
    options.memory_mb = 1024 * a.real("--memory", 1e-3, 1e9).value_or(0);
    options.program = this_program();
    options.launcher = words_of(a.value_or("--launcher", ""));
    options.flags = {"--device", device};
    LiveTable table;
    options.show = [&](const std::vector<LedgerRow>& rows, const std::string& event) {
        table.show(rows, event);
    };
    const int code = run::execute_sweep(manifest, options);
    const std::vector<LedgerRow> rows = Ledger(manifest).rows();
    fmt::print("{}\n", ledger_summary(rows));
    for (const LedgerRow& row : rows) {
        if (row.state == run::SweepState::failed) {
            log::error("{} {}: exit code {}, {}: {} ({}/logs/{}.log)", row.run->id, row.run->name, row.code,
                       run::code_meaning(row.code), row.message, manifest.directory(), row.run->id);
        }
    }
    if (code == static_cast<int>(ExitCode::requeue)) {
        log::info("stopped; the same command goes on");
    }
    return code;
}

int status(std::span<const std::string> arguments) {
    const Arguments a(
        {.command = "sweep status",
         .meaning = "Shows the ledger: waiting, queued (by Slurm), running, stopped (goes on when run or "
                    "submitted), interrupted (killed, or failed with attempts left: likewise), failed, "
                    "complete. Read from the run folders; disturbs nothing.",
         .positional = "DIR",
         .least = 1,
         .most = 1,
         .flags = {{.name = "--json", .meaning = "one JSON object instead of the table"},
                   {.name = "--watch", .value = "SECONDS", .meaning = "again and again, until all is done"}},
         .example = "tether sweep status sweeps/methods --watch 10"},
        arguments);
    if (a.help_shown()) {
        return 0;
    }
    const Manifest manifest = open_sweep(a.positional().front());
    const Ledger ledger(manifest);
    std::string unknown;
    const auto watch = a.real("--watch", 0.1, 1e6);
    for (;;) {
        const std::vector<LedgerRow> rows = ledger.rows(queue_of(manifest, unknown));
        if (watch && ::isatty(STDOUT_FILENO) != 0) {
            fmt::print("\033[H\033[2J");
        }
        fmt::print("{}", a.has("--json") ? ledger_json(manifest, rows)
                                         : ledger_table(rows) + ledger_summary(rows) + "\n");
        std::fflush(stdout);
        const bool over = std::ranges::all_of(rows, [](const LedgerRow& row) {
            return row.state == run::SweepState::complete || row.state == run::SweepState::failed;
        });
        if (!watch || over) {
            return 0;
        }
        std::this_thread::sleep_for(std::chrono::duration<double>(*watch));
    }
}

int retry(std::span<const std::string> arguments) {
    const Arguments a({.command = "sweep retry",
                       .meaning =
                           "Lets failed runs be run again (by the next run or submit), all of them or those "
                           "named by id, name or folder. They go on from their last checkpoint.",
                       .positional = "DIR [RUN...]",
                       .least = 1,
                       .most = -1,
                       .flags = {},
                       .example = "tether sweep retry sweeps/methods 7 12"},
                      arguments);
    if (a.help_shown()) {
        return 0;
    }
    const Manifest manifest = open_sweep(a.positional().front());
    const Ledger ledger(manifest);
    std::vector<const run::PlannedRun*> chosen;
    for (std::size_t i = 1; i < a.positional().size(); ++i) {
        chosen.push_back(&manifest.find(a.positional()[i]));
    }
    const bool all = chosen.empty();
    if (all) {
        for (const run::PlannedRun& r : manifest.runs) {
            chosen.push_back(&r);
        }
    }
    int count = 0;
    for (const run::PlannedRun* r : chosen) {
        const LedgerRow row = ledger.row(*r);
        if (row.failures > 0 && row.state != run::SweepState::complete) {
            ledger.record_retry(*r);
            ++count;
        } else if (!all) {
            log::info("{} {}: has not failed ({})", r->id, r->name, run::state_name(row.state));
        }
    }
    fmt::print("{} runs will be tried again by the next `tether sweep run` or `submit`\n", count);
    return 0;
}

int submit(std::span<const std::string> arguments) {
    const Arguments a(
        {.command = "sweep submit",
         .meaning =
             "Hands the runs that are due to Slurm, as job arrays cut to its largest size. Submitting again "
             "is "
             "always safe: what is queued, running, complete or failed for good is left out. Words behind -- "
             "go to sbatch.",
         .positional = "DIR",
         .least = 1,
         .most = -1,
         .flags = {{.name = "--site", .value = "FILE", .meaning = "site file (default: slurm/site.sh)"},
                   {.name = "--at-once", .value = "K", .meaning = "runs at once (default: as Slurm likes)"},
                   as_frozen},
         .example = "tether sweep submit sweeps/methods --site slurm/site.sh --at-once 8 -- --time=2:00:00"},
        arguments);
    if (a.help_shown()) {
        return 0;
    }
    const Manifest manifest = open_sweep(a.positional().front());
    run::SubmitOptions options;
    options.program = this_program();
    options.scripts = run::slurm_scripts(options.program);
    options.site = a.value_or("--site", "slurm/site.sh");
    options.at_once = a.integer_or("--at-once", 0, 1, 1'000'000);
    options.sbatch = {a.positional().begin() + 1, a.positional().end()};
    manifest.check_unchanged(!a.has("--as-frozen"));
    const std::vector<run::Submission> done = run::submit_sweep(manifest, options);
    for (const run::Submission& s : done) {
        fmt::print("job {}: {} runs ({})\n", s.job_id, s.runs, s.job_name);
    }
    if (done.empty()) {
        fmt::print("nothing to submit; {}\n",
                   ledger_summary(Ledger(manifest).rows(run::queued_runs(manifest))));
    }
    return 0;
}

int cancel(std::span<const std::string> arguments) {
    const Arguments a({.command = "sweep cancel",
                       .meaning =
                           "Stops a sweep: takes its jobs out of Slurm's queue and tells `sweep run` of this "
                           "machine to stop. Trainings checkpoint where they are given the time. Nothing is "
                           "lost: run or submit goes on.",
                       .positional = "DIR",
                       .least = 1,
                       .most = 1,
                       .flags = {},
                       .example = "tether sweep cancel sweeps/methods"},
                      arguments);
    if (a.help_shown()) {
        return 0;
    }
    const Manifest manifest = open_sweep(a.positional().front());
    const std::vector<std::string> jobs = run::cancel_submissions(manifest);
    const run::StoppedExecutors here = run::stop_executors(manifest);
    fmt::print("cancelled {} jobs of Slurm, stopped {} on this machine\n", jobs.size(), here.stopped);
    for (const std::string& host : here.elsewhere) {
        log::info("a `sweep run` on {} may go on; cancel it there", host);
    }
    return 0;
}

// For batch scripts: one attempt at one run, its begin and its end.
int attempt(std::span<const std::string> arguments) {
    const Arguments a(
        {.command = "sweep attempt",
         .meaning = "For batch scripts (slurm/run.sbatch): notes in the ledger that an attempt at a run "
                    "begins, and prints `job FILE`, or `skip STATE` where nothing is left to do; notes "
                    "how it ended, and prints the state.",
         .positional = "DIR RUN",
         .least = 2,
         .most = 2,
         .flags = {{.name = "--begin", .value = "WHO", .meaning = "it begins; who does it"},
                   {.name = "--end", .value = "CODE", .meaning = "it ended with this exit code"},
                   {.name = "--log", .value = "FILE", .meaning = "what it said"},
                   {.name = "--from", .value = "BYTE", .meaning = "where its part of the log begins"}},
         .example = "tether sweep attempt sweeps/methods 0007 --begin \"slurm 42_7\""},
        arguments);
    if (a.help_shown()) {
        return 0;
    }
    check(a.has("--begin") != a.has("--end"), "tether sweep attempt: expected either --begin or --end");
    const Manifest manifest = open_sweep(a.positional()[0]);
    const run::PlannedRun& run = manifest.find(a.positional()[1]);
    const Ledger ledger(manifest);
    if (a.has("--end")) {
        const auto code = static_cast<int>(a.integer_or("--end", 0, 0, 255));
        const bool worked = ledger.record_end(run, code, a.value_or("--log", ""),
                                              a.integer_or("--from", 0, 0, Index{1} << 60));
        fmt::print("{}\n", worked ? run::state_name(ledger.row(run).state) : "refused");
        return 0;
    }
    const LedgerRow row = ledger.row(run);
    if (row.state == run::SweepState::complete || row.state == run::SweepState::failed) {
        fmt::print("skip {}\n", run::state_name(row.state));
        return 0;
    }
    ledger.record_begin(run, *a.value("--begin"));
    fmt::print("job {}\n", manifest.job_file_of(run));
    return 0;
}

struct Sub {
    const char* name;
    const char* meaning;
    int (*run)(std::span<const std::string>);
};

constexpr Sub subs[] = {{"plan", "freeze a sweep file into a folder", plan},
                        {"run", "work through it on this machine", run_here},
                        {"submit", "hand it to Slurm", submit},
                        {"status", "the state of every run", status},
                        {"retry", "let failed runs be run again", retry},
                        {"cancel", "stop it, here and under Slurm", cancel},
                        {"attempt", "for batch scripts: note begin or end of a run", attempt}};

} // namespace

int sweep_command(std::span<const std::string> arguments) {
    const std::string word = arguments.empty() ? "" : arguments[0];
    if (word.empty() || word == "--help" || word == "-h") {
        std::string text = "usage: tether sweep WORD ...\n\nMany runs from one file (jobs/sweeps).\n\n";
        for (const Sub& sub : subs) {
            text += fmt::format("  {:<8} {}\n", sub.name, sub.meaning);
        }
        text += "\ntether sweep WORD --help explains one.\nexample: tether sweep plan "
                "jobs/sweeps/nbody_methods.toml "
                "--out sweeps/methods\n";
        fmt::print(word.empty() ? stderr : stdout, "{}", text);
        return word.empty() ? static_cast<int>(ExitCode::usage) : 0;
    }
    std::vector<std::string> known;
    for (const Sub& sub : subs) {
        if (word == sub.name) {
            return sub.run(arguments.subspan(1));
        }
        known.emplace_back(sub.name);
    }
    fail(ExitCode::usage, "tether sweep: unknown word '{}'{}", word, hint(word, known));
}

} // namespace tether::cli
