// A sweep: one job file and what is varied around it (spec: interfaces, "A sweep file"), read from TOML
// and expanded into single runs. Keys may be nested or dotted; later layers win: base, [set], axes,
// seeds, and for a [[run]] base, [set], its own keys, seeds.
//
//     name = "methods"                          # default: the file's name
//     base = "../nbody/segnn_ace.toml"          # relative to this file, or absolute
//     seeds = [42, 43, 44]                      # an axis of `seed`, for all runs that do not name one
//     [set]                                     # changed in all runs
//     train.epochs = 100
//     [grid]                                    # every key an axis: all combinations
//     primal.lr = [1e-3, 1e-4]
//     setting = [{ label = "strict", method.name = "strict" },    # an axis with names: each value
//                { label = "ace", method.name = "ace" }]          # sets several keys
//     [zip]                                     # lists of equal length: one axis, taken together
//     model.layers = [2, 4]
//     data.batch = [100, 50]
//     [[run]]                                   # single further runs
//     method.name = "free"
//
// Invariant: two runs of a sweep differ in at least one key that can change the numbers.
#pragma once

#include "tether/run/job.hpp"

#include <string>
#include <utility>
#include <vector>

namespace tether::run {

// One changed key: its value as TOML text, and the place that asks for it.
struct SweepChange {
    std::string key;
    std::string value;
    std::string origin; // "sweep.toml:12"
};

struct SweepRun {
    std::vector<SweepChange> changes; // the last of a key counts
    // What tells this run from its neighbours: axis and value as people write it.
    std::vector<std::pair<std::string, std::string>> labels;
    std::string origin;                                       // of the axes or the [[run]]
    [[nodiscard]] std::vector<std::string> overrides() const; // as --set takes them
    [[nodiscard]] std::string description() const;            // "method.name=ace, seed=43"
};

struct Sweep {
    std::string file;
    std::string name;
    std::string base; // path of the job file
    Index max_runs = 1000;
    Index retries = 3; // failures of one run before it waits for `sweep retry`
    std::vector<SweepRun> runs;

    // The job of a run, named after sweep and labels unless a key sets its name; the data file is
    // absolute. Error(usage or data) that names the line of the sweep file and the run.
    [[nodiscard]] Job job(const SweepRun& run) const;
};

// Throws Error(usage) with file, line, what was found and what was expected; jobs are checked by job().
[[nodiscard]] Sweep read_sweep(const std::string& path);

} // namespace tether::run
