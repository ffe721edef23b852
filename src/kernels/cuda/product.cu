// Kernels of matrix products.
#include "../functors/products.hpp"
#include "kernel.cuh"

namespace tether::kernels {

void add_product_kernels(device::Launchers& to) {
    add_kernels(ProductFunctors<float>{}, to);
    add_kernels(ProductFunctors<double>{}, to);
    add_kernels(RoundedProductFunctors{}, to);
}

} // namespace tether::kernels
