// Hands a sweep to Slurm: the runs that are due become job arrays (cut to MaxArraySize), one task each,
// by slurm/submit and slurm/run.sbatch. Submitting again is always safe: what is queued, running,
// complete or failed for good is left out. Which runs are queued is asked of squeue by the names of the
// jobs, so that a submission whose answer was lost (a kill after sbatch) is found again.
//
//     DIR/submissions/0003.list       ids of its runs, task i in line i + 1; written before sbatch
//     DIR/submissions/0003.json       job name, job id, time
//     DIR/submissions/0003.cancelled  its jobs must not put themselves back into the queue
#pragma once

#include "tether/run/sweep_ledger.hpp"

#include <set>
#include <string>
#include <vector>

namespace tether::run {

struct SubmitOptions {
    std::string site;                // site file
    std::string scripts;             // folder with `submit` and `run.sbatch`
    std::string program;             // tether
    Index at_once = 0;               // tasks of the sweep at once (%K); 0: as Slurm likes
    std::vector<std::string> sbatch; // further options
};

struct Submission {
    std::string number, job_name, job_id;
    Index runs = 0;
};

// Nothing is due: empty. Throws Error(usage) with sbatch's own words where Slurm refuses (all chunks
// are tried with --test-only first).
[[nodiscard]] std::vector<Submission> submit_sweep(const Manifest& manifest, const SubmitOptions& options);

// Ids of the runs Slurm holds. Asks nobody where nothing was ever submitted. Error(usage) where squeue
// cannot tell.
[[nodiscard]] std::set<std::string> queued_runs(const Manifest& manifest);

// Cancels what Slurm holds; the trainings checkpoint if they are given the time. Returns the job ids.
std::vector<std::string> cancel_submissions(const Manifest& manifest);

// Where slurm/ is: $TETHER_SLURM, beside the build, or installed. Error(usage) where it is nowhere.
[[nodiscard]] std::string slurm_scripts(const std::string& program);

} // namespace tether::run
