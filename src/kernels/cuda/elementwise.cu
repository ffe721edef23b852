// Kernels of element-wise operations.
#include "../functors/elementwise.hpp"
#include "kernel.cuh"

namespace tether::kernels {

void add_elementwise_kernels(device::Launchers& to) {
    add_kernels(ElementwiseFunctors<float>{}, to);
    add_kernels(ElementwiseFunctors<double>{}, to);
}

} // namespace tether::kernels
