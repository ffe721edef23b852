// How this process was started, as far as its environment tells: by an MPI launcher, as a Slurm
// task, or plainly. A bare MPI program in a batch script silently becomes a world of one; that and
// its like are found here and told with the right command.
#pragma once

namespace tether::parallel {

struct Launch {
    bool by_launcher = false; // something will answer MPI_Init
    int launched = 0;         // processes the launcher says it started; 0: does not say
    int slurm_tasks = 0;      // tasks of the Slurm job or step; 0: no Slurm
    int ranks_per_node = 0;   // TETHER_RANKS_PER_NODE; 0: as found
};

[[nodiscard]] Launch read_launch();

// Error(usage) with a hint where `world`, the number of ranks MPI sees, is not what was started.
void check_world(const Launch& launch, int world);

} // namespace tether::parallel
