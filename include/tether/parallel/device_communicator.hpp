// Sums over the devices of all ranks: device memory, in place, in the order of what the backend runs. Every
// rank calls the same sums in the same order. `tree`: the fixed balanced tree of core/fixed_tree over ranks,
// the same bits for 1, 2, 4, 8 of them and as Communicator::all_reduce_tree; a power of two. `fast`: the
// order is the library's, in buckets. A lost peer or an error of the network ends in Error(peer), exit code
// 13: at once where the library notices, else when the time limit of the start, or that of the run's
// watchdog, is over.
#pragma once

#include "tether/core/types.hpp"
#include "tether/device/backend.hpp"
#include "tether/parallel/communicator.hpp"

#include <chrono>
#include <memory>
#include <string>

namespace tether::parallel {

enum class SumOrder { tree, fast };

class DeviceCommunicator {
public:
    DeviceCommunicator() = default;
    DeviceCommunicator(const DeviceCommunicator&) = delete;
    DeviceCommunicator& operator=(const DeviceCommunicator&) = delete;
    // Collective, unless an exception is on its way: then nothing waits for anybody.
    virtual ~DeviceCommunicator() = default;

    // For people and /meta: library, version, what the numbers travel over.
    [[nodiscard]] virtual std::string description() const = 0;
    // Whether sums may be part of a graph (DeviceExchange::in_graph, Backend::replay).
    [[nodiscard]] virtual bool in_graph() const = 0;
    virtual void sum(float* values, Index count, SumOrder order) = 0;
    virtual void sum(double* values, Index count, SumOrder order) = 0;
    // Error(peer) where a sum that was asked for has failed meanwhile. To be called after waiting for the
    // device, before its numbers are used; costs nothing.
    virtual void check_peers() = 0;
    // What has failed, for a watchdog's report; takes no lock that a hanging call could hold.
    [[nodiscard]] virtual std::string trouble() const = 0;
};

struct DeviceCommunicatorOptions {
    Index bucket_bytes = Index{4} << 20; // of a fast sum
    Index small_bytes = Index{32} << 10; // below, a tree sends whole vectors: fewer messages
    std::chrono::milliseconds limit{std::chrono::minutes(5)}; // of the start
    std::chrono::milliseconds poll{200};                      // between looks at the library's state
};

// NCCL where this build has it and the backend is CUDA's; else through the host. Collective over `ranks`,
// which must outlive the result. Error(device) where two ranks use one device.
[[nodiscard]] std::unique_ptr<DeviceCommunicator>
make_device_communicator(Communicator& ranks, device::Backend& backend,
                         const DeviceCommunicatorOptions& options = {});

// "2.28.9"; empty where this build has no NCCL.
[[nodiscard]] std::string nccl_version();

// Error(device) on every rank, naming who shares what.
void check_devices_differ(Communicator& ranks, const device::Backend& backend);

} // namespace tether::parallel
