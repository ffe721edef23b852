// Several trainings of one job in one process, which differ in the seed or in one other key. Each is the run
// that its own job would be: the same folder, the same numbers, multipliers, run file and end of its own. On
// a device they go through the same launches (device/replica_group.hpp); on cores they share the threads.
// With several ranks every rank trains its share of them.
#pragma once

#include "tether/run/trainer.hpp"

#include <string>
#include <vector>

namespace tether::run {

// The jobs of [train] replicas, replica_key and replica_values; one job where replicas is 1. Error(usage):
// the number of values is another than that of replicas, a key that is none.
[[nodiscard]] std::vector<Job> replica_jobs(const std::string& job_file,
                                            const std::vector<std::string>& overrides);

// Trains all of them; the results in their order, of this rank's share (rank r has the jobs r, r + P, ...).
// A replica that fails does not end the others; then the error of the first that failed is thrown at the end.
[[nodiscard]] std::vector<TrainResult>
train_replicas(const std::vector<Job>& jobs, const TrainOptions& options, parallel::Communicator& world);

} // namespace tether::run
