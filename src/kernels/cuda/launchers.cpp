// Every list of src/kernels/functors has a file of kernels beside this one.
#include "add_kernels.hpp"

#include "tether/kernels/launchers.hpp"

namespace tether::kernels {

const device::Launchers& launchers() {
    static const device::Launchers all = [] {
        device::Launchers table;
        add_elementwise_kernels(table);
        add_activation_kernels(table);
        add_product_kernels(table);
        add_sum_kernels(table);
        add_update_kernels(table);
        add_critic_kernels(table);
        add_method_kernels(table);
        add_tensor_product_kernels(table);
        add_norm_kernels(table);
        add_graph_kernels(table);
        add_row_program_kernels(table);
        return table;
    }();
    return all;
}

} // namespace tether::kernels
