// Kernels of norms.
#include "../functors/norms.hpp"
#include "kernel.cuh"

namespace tether::kernels {

void add_norm_kernels(device::Launchers& to) {
    add_kernels(NormFunctors<float>{}, to);
    add_kernels(NormFunctors<double>{}, to);
}

} // namespace tether::kernels
