// The manifest of a frozen sweep, `DIR/manifest.json`: every run with its resolved job, what was read to
// make them (with checksums), and what they are expected to cost. Written once, last, never changed:
// what happens to the runs afterwards is in their folders and in the ledger (sweep_ledger.hpp).
//
//     DIR/manifest.json       this
//     DIR/runs/NAME-HASH/     run folders, each with its frozen job.toml from the start
//     DIR/attempts/ID.jsonl   ledger: one line for each begin and end of an attempt
//     DIR/claims/ID           locks of runs being worked on from this machine
//     DIR/logs/               what the runs said
//     DIR/submissions/        what was handed to Slurm
#pragma once

#include "tether/run/sweep.hpp"
#include "tether/run/sweep_cost.hpp"

#include <string>
#include <utility>
#include <vector>

namespace tether::run {

struct PlannedRun {
    std::string id;     // "0007", its place in the sweep
    std::string folder; // name below DIR/runs
    std::string name, hash, model, method;
    std::string job_sha256; // of the text of job.toml
    std::vector<std::pair<std::string, std::string>> labels, changes;
    Cost cost;
};

struct SourceFile {
    std::string path, role; // role: sweep, base, data
    std::string sha256;
};

class Manifest {
public:
    std::string name, created, tether_version, git_commit;
    Index retries = 3;
    std::vector<SourceFile> sources;
    std::vector<PlannedRun> runs;

    // Throws Error(usage) where DIR is no sweep, Error(data) where its manifest was damaged or edited.
    [[nodiscard]] static Manifest read(const std::string& directory);

    // Throws where a file the sweep was made from, or a frozen job, is no longer what it was.
    void check_unchanged(bool sources_too = true) const;

    [[nodiscard]] const std::string& directory() const { return directory_; } // absolute
    [[nodiscard]] std::string id() const; // 8 digits that follow from the jobs and the place
    [[nodiscard]] std::string folder_of(const PlannedRun& run) const {
        return directory_ + "/runs/" + run.folder;
    }
    [[nodiscard]] std::string job_file_of(const PlannedRun& run) const {
        return folder_of(run) + "/job.toml";
    }
    // By id ("7" or "0007"), folder or name. Error(usage) with the nearest.
    [[nodiscard]] const PlannedRun& find(const std::string& word) const;

private:
    friend bool freeze(const Sweep&, const std::string&, Index);
    std::string directory_;
};

// Checks every job, measures (bench_steps > 0) and writes DIR, whole or not at all. False: DIR holds the
// same sweep already, nothing was done. Another sweep there: Error(usage).
bool freeze(const Sweep& sweep, const std::string& directory, Index bench_steps);

} // namespace tether::run
