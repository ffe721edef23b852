// From the word of --device to what trains: cores, a device of this node, or its emulation.
#pragma once

#include "tether/device/backend.hpp"
#include "tether/device/tensor_sums.hpp"
#include "tether/parallel/communicator.hpp"
#include "tether/run/job.hpp"

#include <memory>
#include <string>
#include <vector>

namespace tether::run {

// cpu; cuda; emulation: the launches of a device, run on the host, slow and for tests.
[[nodiscard]] std::vector<std::string> device_names();

// Null for the cores. Ranks of a node take its devices in order. Throws Error(device), exit code 15, naming
// what is missing.
[[nodiscard]] std::unique_ptr<device::Backend> open_device(const std::string& name,
                                                           const parallel::Communicator& workers);

// How a device multiplies matrices for this word of train.precision. Error(usage) where the cores are to
// train in a precision that only devices have.
[[nodiscard]] device::ProductPrecision product_precision(Precision precision, const std::string& device);

} // namespace tether::run
