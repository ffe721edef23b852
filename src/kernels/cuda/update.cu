// Kernels of the update of the flat vector.
#include "../functors/update.hpp"
#include "kernel.cuh"

namespace tether::kernels {

void add_update_kernels(device::Launchers& to) {
    add_kernels(UpdateFunctors<float>{}, to);
    add_kernels(UpdateFunctors<double>{}, to);
}

} // namespace tether::kernels
