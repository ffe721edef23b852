// Kernels of operations on graphs.
#include "../functors/graphs.hpp"
#include "kernel.cuh"

namespace tether::kernels {

void add_graph_kernels(device::Launchers& to) {
    add_kernels(GraphFunctors<float>{}, to);
    add_kernels(GraphFunctors<double>{}, to);
}

} // namespace tether::kernels
