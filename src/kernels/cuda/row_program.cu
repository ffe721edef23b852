// Kernels of row programs, and of products with elementwise work behind them.
#include "../functors/row_program.hpp"
#include "kernel.cuh"

namespace tether::kernels {

void add_row_program_kernels(device::Launchers& to) {
    add_kernels(ProductThenFunctors<float>{}, to);
    add_kernels(ProductThenFunctors<double>{}, to);
    add_kernels(RoundedProductThenFunctors{}, to);
    add_kernels(RowProgramFunctors<float>{}, to);
    add_kernels(RowProgramFunctors<double>{}, to);
}

} // namespace tether::kernels
