// Kernels of tensor products and spherical harmonics.
#include "../functors/tensor_products.hpp"
#include "kernel.cuh"

namespace tether::kernels {

void add_tensor_product_kernels(device::Launchers& to) {
    add_kernels(TensorProductFunctors<float>{}, to);
    add_kernels(TensorProductFunctors<double>{}, to);
}

} // namespace tether::kernels
