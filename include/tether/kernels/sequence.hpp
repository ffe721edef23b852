// Several launches of row-wise work as one: a block of threads takes a few rows through all of them, one step
// after the other. What a step reads of its own rows the same block has just written; so the launches may
// depend on each other row by row. Saves what a launch costs, which for small batches is most of their time.
#pragma once

#include "tether/device/launch.hpp"

#include <optional>
#include <string>

namespace tether::kernels {

// A launch as a step: which functor of the list (src/kernels/functors/sequence.hpp), and its numbers.
struct SequenceStep {
    std::int32_t kind = 0;
    std::int32_t row_items = 0;
    alignas(16) std::byte functor[device::Launch::most_bytes] = {};
};

// None where the launch is not dealt out by rows or its functor is not in the list for T.
template <class T>
[[nodiscard]] std::optional<SequenceStep> sequence_step(const device::Launch& launch);

// Appends one launch for `count` steps, which lie in device memory, all over the rows of `like`; `most_items`
// of a row in any of them.
template <class T>
void append_sequence(device::LaunchList& list, const device::Launch& like, const SequenceStep* steps,
                     Index count, Index most_items);

// Whether a launch is a matrix product that elementwise steps may follow number by number.
template <class T>
[[nodiscard]] bool is_product(const device::Launch& launch);

// Appends one launch for a product and steps that are elementwise over its result.
template <class T>
void append_product_then(device::LaunchList& list, const device::Launch& product, const SequenceStep* steps,
                         Index count);

} // namespace tether::kernels
