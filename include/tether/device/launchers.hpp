// What starts a functor on a device: per type the kernel compiled for it. A list's functors are looked up
// once when it is first run. The table is filled above this folder, which knows no functor.
#pragma once

#include <typeindex>
#include <unordered_map>

namespace tether::device {

// Addresses of __global__ functions; opaque to everybody but the device's calls.
struct Kernels {
    const void* one = nullptr;  // (functor, Index items)
    const void* many = nullptr; // (const functor*, const Index* items): a row of blocks for each of them
};
using Launchers = std::unordered_map<std::type_index, Kernels>;

} // namespace tether::device
