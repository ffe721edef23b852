// Launches as steps of a launch: row-wise work that a kernel over rows does one after the other
// (row_program.hpp), and elementwise work on a number of a product as soon as it is there.
#pragma once

#include "tether/device/launch.hpp"

#include <cstdint>
#include <optional>

namespace tether::kernels {

// Which functor of the list (src/kernels/functors/row_steps.hpp), and its numbers.
struct RowStep {
    static constexpr std::int32_t nothing = -1, product = -2; // kinds of a row program's own

    std::int32_t kind = nothing;
    std::int32_t row_items = 0;
    std::int32_t meets = 0; // the parts of a team meet after it
    std::int32_t unused = 0;
    alignas(16) std::byte functor[device::Launch::most_bytes] = {};
};

// None where the launch is not dealt out by rows or its functor is not in the list for T.
template <class T>
[[nodiscard]] std::optional<RowStep> row_step(const device::Launch& launch);

// Whether a launch is a matrix product that elementwise steps may follow number by number.
template <class T>
[[nodiscard]] bool is_product(const device::Launch& launch);

// Appends one launch for a product and steps that are elementwise over its result.
template <class T>
void append_product_then(device::LaunchList& list, const device::Launch& product, const RowStep* steps,
                         Index count);

} // namespace tether::kernels
