// One function per list of functors: its kernels, for float and double.
#pragma once

#include "tether/device/launchers.hpp"

namespace tether::kernels {

void add_elementwise_kernels(device::Launchers& to);
void add_activation_kernels(device::Launchers& to);
void add_product_kernels(device::Launchers& to);
void add_sum_kernels(device::Launchers& to);
void add_update_kernels(device::Launchers& to);
void add_critic_kernels(device::Launchers& to);
void add_method_kernels(device::Launchers& to);
void add_tensor_product_kernels(device::Launchers& to);
void add_norm_kernels(device::Launchers& to);
void add_graph_kernels(device::Launchers& to);
void add_row_program_kernels(device::Launchers& to);

} // namespace tether::kernels
