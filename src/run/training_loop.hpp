// Private to the trainer: what a worker rank does.
#pragma once

#include "tether/parallel/coordinator.hpp"
#include "tether/run/coordinator_role.hpp"
#include "tether/run/setup.hpp"
#include "tether/run/trainer.hpp"

#include <string>

namespace tether::run {

// Steps until the end, a stop or an error, on `backend` or, where that is null, on cores. `link` on rank 0 of
// the workers, null on the others.
template <class T>
ExitCode training_loop(Setup& setup, const TrainOptions& options, const std::string& folder, int threads,
                       parallel::Communicator& workers, std::unique_ptr<device::Backend> backend,
                       parallel::CoordinatorLink* link);

extern template ExitCode training_loop<float>(Setup&, const TrainOptions&, const std::string&, int,
                                              parallel::Communicator&, std::unique_ptr<device::Backend>,
                                              parallel::CoordinatorLink*);
extern template ExitCode training_loop<double>(Setup&, const TrainOptions&, const std::string&, int,
                                               parallel::Communicator&, std::unique_ptr<device::Backend>,
                                               parallel::CoordinatorLink*);

} // namespace tether::run
