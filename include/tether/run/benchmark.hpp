// Whole training steps of a job on its data, beside what the machine could do at best (spec:
// interfaces, `bench`; performance). Peaks are measured by the same program just before.
#pragma once

#include "tether/parallel/communicator.hpp"
#include "tether/run/job.hpp"

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace tether::run {

struct BenchmarkOptions {
    Index steps = 100;
    Index warmup = 20;
    int threads = 0;
    std::string device = "cpu";             // device_names()
    bool profile = false;                   // time every operation of the first thread
    bool peaks = true;                      // measure what the machine could do at best
    std::function<long()> allocation_count; // of the process; empty: not counted
};

struct Spread {
    double median = 0, least = 0, most = 0;
};

struct OperationTime {
    std::string name;
    double ms_per_step = 0, gflops = 0;
};

struct BenchmarkResult {
    std::string job, instruction_set;
    int ranks = 1, threads = 1;
    Index lanes = 8, lanes_at_once = 1, batch = 0, nodes = 0, edges = 0, parameters = 0;
    Spread step_ms, data_ms, forward_ms, backward_ms, reduce_ms, optimise_ms, coordinator_ms;
    double gflop_step = 0, gflop_executed = 0, gbyte_step = 0; // least known work; what the program does
    double peak_gflops = 0, peak_gbs = 0;                      // all ranks and threads together
    double peak_product_gflops = 0;                            // of a device, by this library's product
    double arena_mb = 0, allocations_per_step = 0;
    std::string device;                                                     // what trained, in words
    double launches_per_step = 0, replays_per_step = 0, waits_per_step = 0; // of a device
    long stages = 0;                     // of a device: waves of launches that wait for each other, in a step
    long levels = 0;                     // the same, counting where parts of teams meet within a launch
    long phases = 0, product_phases = 0; // of programs over rows, one after the other
    std::vector<std::pair<std::string, long>> launch_counts; // per step, by operation (with profile)
    Index steps_per_epoch = 0, evaluated = 0;                // samples of validation and test
    bool branches = false;                 // evaluations are of two networks, projected and relaxed
    std::vector<OperationTime> operations; // most expensive first
    [[nodiscard]] double floor_ms() const;
    [[nodiscard]] double over_floor() const { return step_ms.median / floor_ms(); }
};

// Collective.
[[nodiscard]] BenchmarkResult benchmark(const Job& job, const BenchmarkOptions& options,
                                        parallel::Communicator& world);

} // namespace tether::run
