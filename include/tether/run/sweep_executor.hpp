// Works through a sweep on this machine: as many trainings at once as cores and memory allow, each a
// process of its own. Safe against being killed at any moment (the trainings then checkpoint and stop
// by themselves; the next call goes on) and against being started twice (a lock per run, held by the
// training itself, tells who works on it). Ends when every run is complete or failed for good; waits
// for runs that others work on.
#pragma once

#include "tether/run/sweep_ledger.hpp"

#include <functional>
#include <string>
#include <vector>

namespace tether::run {

struct ExecutorOptions {
    int at_once = 0;                   // 0: cores divided by threads
    int threads = 1;                   // of each training
    double memory_mb = 0;              // for all of them together; 0: nine tenths of what is free now
    std::string program;               // the tether to start
    std::vector<std::string> launcher; // in front of it: {"mpirun", "-n", "2"}
    std::vector<std::string> flags;    // behind `train JOB`
    // Called about every half second and with `event` when something began or ended.
    std::function<void(const std::vector<LedgerRow>& rows, const std::string& event)> show;
};

// The exit code of the whole: 0 all complete, 75 stopped by a signal, else that of the first failed run
// (13 where a signal ended it).
[[nodiscard]] int execute_sweep(const Manifest& manifest, const ExecutorOptions& options);

// Tells every executor of this sweep on this machine to stop (as SIGTERM does).
struct StoppedExecutors {
    int stopped = 0;
    std::vector<std::string> elsewhere; // machines where others may be at work
};
[[nodiscard]] StoppedExecutors stop_executors(const Manifest& manifest);

// Free memory by the system and by the limits of this process's control group.
[[nodiscard]] double free_memory_mb();

} // namespace tether::run
