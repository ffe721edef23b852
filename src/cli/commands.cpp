// The registry of commands: one include and one line each.
#include "tether/cli/bench_command.hpp"
#include "tether/cli/command.hpp"
#include "tether/cli/data_command.hpp"
#include "tether/cli/doctor_command.hpp"
#include "tether/cli/eval_command.hpp"
#include "tether/cli/export_command.hpp"
#include "tether/cli/import_command.hpp"
#include "tether/cli/status_command.hpp"
#include "tether/cli/sweep_command.hpp"
#include "tether/cli/train_command.hpp"
#include "tether/cli/verify_command.hpp"

namespace tether::cli {

std::span<const Command> all_commands() {
    static constexpr Command commands[] = {
        {"bench", "time training steps of a job", bench_command},
        {"data", "simulate or convert a data set", data_command},
        {"doctor", "check machine, MPI, storage and job files", doctor_command},
        {"eval", "loss, metrics and equivariance error of a stored run", eval_command},
        {"export", "parameters of a run under the published names", export_command},
        {"import", "a run that starts from given weights", import_command},
        {"status", "progress, rate, losses and lease of runs", status_command},
        {"sweep", "many runs from one file, here or under Slurm", sweep_command},
        {"train", "train a job, or go on with it", train_command},
        {"verify", "compare with an independent implementation", verify_command},
    };
    return commands;
}

} // namespace tether::cli
