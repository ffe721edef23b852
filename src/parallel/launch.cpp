#include "launch.hpp"

#include "tether/core/error.hpp"

#include <charconv>
#include <cstdlib>
#include <string_view>

namespace tether::parallel {
namespace {

bool is_set(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0';
}

int number(const char* name) {
    const char* text = std::getenv(name);
    if (text == nullptr || *text == '\0') {
        return 0;
    }
    const std::string_view view = text;
    int value = 0;
    const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), value);
    check(error == std::errc{} && end == view.data() + view.size() && value >= 0,
          "environment: {}={}, expected a number", name, view);
    return value;
}

} // namespace

Launch read_launch() {
    Launch launch;
    // Open MPI's mpirun; any PMIx server (srun --mpi=pmix); PMI (MPICH, Intel MPI, srun --mpi=pmi2).
    launch.by_launcher =
        is_set("OMPI_COMM_WORLD_SIZE") || is_set("PMIX_RANK") || is_set("PMI_RANK") || is_set("PMI_FD");
    launch.launched = is_set("OMPI_COMM_WORLD_SIZE") ? number("OMPI_COMM_WORLD_SIZE") : number("PMI_SIZE");
    launch.slurm_tasks =
        is_set("SLURM_STEP_NUM_TASKS") ? number("SLURM_STEP_NUM_TASKS") : number("SLURM_NTASKS");
    launch.ranks_per_node = number("TETHER_RANKS_PER_NODE");
    return launch;
}

void check_world(const Launch& launch, int world) {
    // A launcher that says how many it started is believed: mpirun may use a part of a Slurm job.
    if (launch.launched > 0) {
        check(launch.launched == world,
              "the launcher started {} processes, but MPI sees {} rank(s): this program and the launcher "
              "belong to different MPI installations, or the build has no MPI; use the mpirun of the MPI it "
              "was built with ('tether doctor' names it)",
              launch.launched, world);
        return;
    }
    check(launch.slurm_tasks <= 1 || launch.slurm_tasks == world,
          "Slurm gave this job {} tasks, but MPI sees {} rank(s): start the program by 'srun --mpi=pmix ...' "
          "or 'mpirun ...', not by its bare name",
          launch.slurm_tasks, world);
}

} // namespace tether::parallel
