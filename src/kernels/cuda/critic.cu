// Kernels of critics.
#include "../functors/methods.hpp"
#include "kernel.cuh"

namespace tether::kernels {

void add_critic_kernels(device::Launchers& to) {
    add_kernels(CriticFunctors<float>{}, to);
    add_kernels(CriticFunctors<double>{}, to);
}

} // namespace tether::kernels
