// The folder of one run, `RUNS/NAME-HASH12/`: run.h5, checkpoint/, job.toml, log.txt and lease. Its
// name follows from the job alone, so that the same command finds it again after any stop.
#pragma once

#include "tether/run/lease.hpp"
#include "tether/run/run_file_layout.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tether::run {

enum class Resume { automatic, never, require };         // --resume auto|never|require
[[nodiscard]] Resume resume_of(const std::string& name); // Error(usage) with the nearest name

class RunFolder {
public:
    // Finds or makes the folder of a job, without touching anything in it.
    //   automatic: NAME-HASH; the highest NAME-HASH-N where `never` has made some
    //   never:     NAME-HASH, or the first free NAME-HASH-2, -3, ... beside what is there
    //   require:   as automatic, but Error(usage) where there is nothing to go on from
    static RunFolder find(const std::string& runs, const std::string& name, const std::string& job_hash,
                          Resume resume);

    // Takes the lease, writes job.toml where there is none, removes what killed writers left behind.
    // For the one rank that writes. The log file is left to the caller.
    void open(const std::string& job_toml, LeaseTimes times = {});

    // Of a complete run: removes what a kill in its last moments left behind. Touches nothing where there
    // is nothing of that kind, or where somebody is still at work.
    void tidy();

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::string run_file() const { return path_ + "/run.h5"; }
    [[nodiscard]] std::string checkpoints() const { return path_ + "/checkpoint"; }
    [[nodiscard]] std::string job_file() const { return path_ + "/job.toml"; }
    [[nodiscard]] std::string log_file() const { return path_ + "/log.txt"; }
    [[nodiscard]] bool exists() const noexcept { return exists_; } // before open()
    [[nodiscard]] bool complete() const; // its run file says so; nothing is left to do
    [[nodiscard]] bool lease_lost() const noexcept { return lease_ && lease_->lost(); }

private:
    std::string path_;
    bool exists_ = false;
    std::unique_ptr<Lease> lease_;
};

// The truth about a run: `running` in the file with nobody holding the lease is a killed run.
// `waiting` is a folder with a job and nothing else: of a sweep, not begun.
enum class RunCondition { running, killed, stopped, complete, failed, starting, waiting, unreadable };
[[nodiscard]] std::string_view condition_name(RunCondition condition);
[[nodiscard]] RunCondition run_condition(RunStatus status, bool lease_live);

// Run folders named by a path: a run folder itself, a run.h5, or a folder of runs (at any depth up
// to three; a sweep's folder as well). Sorted. Empty where there are none.
[[nodiscard]] std::vector<std::string> find_runs(const std::string& path);

} // namespace tether::run
