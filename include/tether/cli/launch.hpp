// Which of several processes this is, as told by the launcher's environment: known before MPI starts,
// so that help and usage errors are printed once and not by every rank.
#pragma once

namespace tether::cli {

// Rank said by mpirun, PMIx, PMI or srun; 0 for a process alone.
[[nodiscard]] int launched_rank();

// This process prints for the job.
[[nodiscard]] inline bool speaks() { return launched_rank() == 0; }

} // namespace tether::cli
