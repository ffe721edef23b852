// Lists as a device starts them, wave by wave: launches of a wave that have the same functor are one kernel
// over all of them, whether they come from one list or from recordings of the same program that run together.
#pragma once

#include "tether/device/backend.hpp"

#include <functional>
#include <span>
#include <vector>

namespace tether::device {

struct KernelGroup {
    Launch first;
    Kernels kernels;
    unsigned members = 1;
    Index most_items = 0;
    // Of more than one member: where their functors and items (Index) lie in LaunchWaves::bytes.
    std::size_t functors = 0, items = 0;
};

struct LaunchWaves {
    std::vector<std::vector<KernelGroup>> waves; // an exchange is a wave of its own
    std::vector<std::byte> bytes;                // to be copied to the device
};

// `ranges` end where waves do. Exchanges of several lists are left out: a replica is one rank.
[[nodiscard]] LaunchWaves launch_waves(std::span<const BatchedRange> ranges,
                                       const std::function<Kernels(const Launch&)>& kernels);

} // namespace tether::device
