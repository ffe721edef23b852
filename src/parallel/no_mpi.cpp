// make_communicator() of a build without MPI: one process, or a clear error under a launcher.
#include "launch.hpp"
#include "tether/core/error.hpp"
#include "tether/parallel/communicator.hpp"

namespace tether::parallel {

std::unique_ptr<Communicator> make_communicator() {
    const Launch launch = read_launch();
    check(launch.launched <= 1 && launch.slurm_tasks <= 1,
          "{} processes were started together, but this build has no MPI: build with -DTETHER_MPI=ON or "
          "start one process",
          launch.launched > 1 ? launch.launched : launch.slurm_tasks);
    return make_self_communicator();
}

} // namespace tether::parallel
