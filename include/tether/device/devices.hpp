// The NVIDIA devices of this machine, as `doctor`, provenance and the choice of a device need them.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace tether::device {

struct DeviceFacts {
    int number = 0;
    std::string name;
    std::string uuid; // "GPU-..." ; the same for two ranks: the same device
    int major = 0, minor = 0;
    int multiprocessors = 0;
    std::size_t memory = 0; // bytes
    [[nodiscard]] friend bool operator==(const DeviceFacts&, const DeviceFacts&) = default;
};

struct Survey {
    bool built = false;  // this build has CUDA
    std::string missing; // why no device can be used: build, driver, device; empty where one can
    int driver = 0;      // newest CUDA version that the driver runs, 12040 for 12.4; 0: no driver
    int runtime = 0;     // of this build
    std::vector<DeviceFacts> devices;
    // Pairs that cannot read each other's memory: exchanges then go through the host.
    std::vector<std::pair<int, int>> no_peer_access;
};

[[nodiscard]] Survey survey_devices();

} // namespace tether::device
