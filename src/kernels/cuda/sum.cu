// Kernels of sums over lanes.
#include "../functors/products.hpp"
#include "kernel.cuh"

namespace tether::kernels {

void add_sum_kernels(device::Launchers& to) {
    add_kernels(SumFunctors<float>{}, to);
    add_kernels(SumFunctors<double>{}, to);
}

} // namespace tether::kernels
