// The kernels of this library for a device, one per functor of src/kernels/functors.
#pragma once

#include "tether/device/launchers.hpp"

#include <set>
#include <typeindex>

namespace tether::kernels {

// Of this build: empty where it has no CUDA.
[[nodiscard]] const device::Launchers& launchers();

// The functors that a build with CUDA has kernels for; the same in every build.
[[nodiscard]] std::set<std::type_index> listed_functors();

} // namespace tether::kernels
