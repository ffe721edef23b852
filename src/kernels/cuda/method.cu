// Kernels of what methods add.
#include "../functors/methods.hpp"
#include "kernel.cuh"

namespace tether::kernels {

void add_method_kernels(device::Launchers& to) {
    add_kernels(MethodFunctors<float>{}, to);
    add_kernels(MethodFunctors<double>{}, to);
}

} // namespace tether::kernels
