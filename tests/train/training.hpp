// A short training described by its job file and changed keys, and what a training leaves behind:
// the state's checksum and every row of the run file that must not depend on where, or with how many
// interruptions, it was computed (wall-clock times may).
#pragma once

#include "tests/train/train_process.hpp"
#include "tether/core/types.hpp"

#include <map>
#include <string>
#include <vector>

namespace tether::test {

struct Training {
    std::string job;               // "segnn_ace": a file of jobs/nbody; or the path of a job file
    std::vector<std::string> keys; // "train.steps=40"

    [[nodiscard]] Training with(const std::vector<std::string>& more) const;
    // The arguments of `tether`: train JOB --set … --runs RUNS …
    [[nodiscard]] std::vector<std::string> arguments(const std::string& runs, const Place& place = {},
                                                     const std::vector<std::string>& flags = {}) const;
    [[nodiscard]] std::vector<std::string> command(const std::string& runs, const Place& place = {},
                                                   const std::vector<std::string>& flags = {}) const;
};

// A network of 4x0e+4x1o (EGNN: 8), 60 training simulations in batches of 16: the last batch of an
// epoch is not full.
[[nodiscard]] Training small(const std::string& job, Index steps);

struct Record {
    std::string status;
    std::string state_sha256;
    Index steps = 0;
    std::map<std::string, std::vector<double>> columns; // "/train/loss"
    std::vector<double> best;
};

[[nodiscard]] Record read_record(const std::string& folder);
// "" when equal bit for bit, else the first difference in words.
[[nodiscard]] std::string difference(const Record& found, const Record& expected);

// Newest step in the run's checkpoint folder, or 0.
[[nodiscard]] Index newest_checkpoint(const std::string& folder);
// The only run in a folder of runs, or "" while there is none. More than one: fails the test.
[[nodiscard]] std::string only_run(const std::string& runs);
// Names of files that have no business in a run folder (temporary ones).
[[nodiscard]] std::vector<std::string> leftovers(const std::string& folder);

// Trains to the end, demands exit code 0, and reads the run.
[[nodiscard]] Record train(const Training& training, const std::string& runs, const Place& place = {},
                           const std::vector<std::string>& flags = {});

} // namespace tether::test
