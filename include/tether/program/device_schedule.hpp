// The order in which a device works on a program. Nodes come in stages: those of a stage do not need each
// other and run at once. A branch of a stage is one node, or a chain that becomes one launch: row-wise nodes
// and products of one axis, which read what those before wrote in the same row (kernels/row_program.hpp); or
// a product and elementwise nodes over its result. What a step costs on a device is mostly the number of its
// stages.
#pragma once

#include "tether/program/program.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tether {

// What a node asks of a device.
enum class DeviceWork : std::uint8_t {
    own,         // launches of its own
    rows,        // row by row
    elementwise, // number by number
    product,     // one product, a launch of its own
    row_product, // one that may be a step among rows
    sums,        // a sum over all devices in its middle: nothing runs beside it
    later,       // none now: it waits for the end of its part (DeferredSums)
};

struct DeviceStage {
    std::vector<std::vector<std::size_t>> branches; // nodes in order
};

// Covers the nodes [first, last) once; `work` per node of the program. Nodes that wait for the end come in a
// stage of their own, the last.
[[nodiscard]] std::vector<DeviceStage> device_stages(const Program& program,
                                                     const std::vector<DeviceWork>& work, std::size_t first,
                                                     std::size_t last);

} // namespace tether
