#include "tether/cli/import_command.hpp"

#include "tether/cli/arguments.hpp"
#include "tether/core/error.hpp"
#include "tether/run/stored_run.hpp"

#include <fmt/format.h>

namespace tether::cli {

int import_command(std::span<const std::string> arguments) {
    const Usage usage{
        .command = "import",
        .meaning = "Makes a run folder whose training starts from given weights: a file of `tether export`, "
                   "or a reference "
                   "file of kind model. Moments are zero and the method starts afresh. `tether train` with "
                   "the same job and "
                   "--runs goes on from it. The last line on stdout names the run's folder.",
        .positional = "WEIGHTS.h5",
        .least = 1,
        .most = 1,
        .flags = {{.name = "--job",
                   .value = "JOB.toml",
                   .meaning = "the job that is to go on from them (required)"},
                  {.name = "--runs", .value = "DIR", .meaning = "folder of runs (default: runs)"},
                  {.name = "--set",
                   .value = "key=value",
                   .meaning = "override a key of the job",
                   .repeated = true}},
        .example = "tether import weights.h5 --job jobs/nbody/segnn_ace.toml --runs runs/warm"};
    const Arguments a(usage, arguments);
    if (a.help_shown()) {
        return 0;
    }
    check(a.has("--job"), "import: --job JOB.toml is missing: the job that is to go on from the weights");
    const run::Job job = run::read_job(*a.value("--job"), a.values("--set"));
    const std::string folder = run::import_run(job, a.positional().front(), a.value_or("--runs", "runs"));
    fmt::print("run {}\n", folder);
    return 0;
}

} // namespace tether::cli
