// Kernels of activations.
#include "../functors/elementwise.hpp"
#include "kernel.cuh"

namespace tether::kernels {

void add_activation_kernels(device::Launchers& to) {
    add_kernels(ActivationFunctors<float>{}, to);
    add_kernels(ActivationFunctors<double>{}, to);
}

} // namespace tether::kernels
