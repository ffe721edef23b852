// Private to the trainer: what a worker rank does.
#pragma once

#include "tether/parallel/coordinator.hpp"
#include "tether/run/coordinator_role.hpp"
#include "tether/run/setup.hpp"
#include "tether/run/trainer.hpp"

#include <string>

namespace tether::run {

// Steps until the end, a stop or an error. `link` on rank 0 of the workers, null on the others.
template <class T>
ExitCode training_loop(Setup& setup, const TrainOptions& options, const std::string& folder, int threads,
                       parallel::Communicator& workers, parallel::CoordinatorLink* link);

extern template ExitCode training_loop<float>(Setup&, const TrainOptions&, const std::string&, int,
                                              parallel::Communicator&, parallel::CoordinatorLink*);
extern template ExitCode training_loop<double>(Setup&, const TrainOptions&, const std::string&, int,
                                               parallel::Communicator&, parallel::CoordinatorLink*);

} // namespace tether::run
