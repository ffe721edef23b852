// Global norm of a gradient and clipping as torch.nn.utils.clip_grad_norm_: g min(1, c/(|g| + 1e-6)),
// one norm over everything the step is given (gates with their multiplier terms and slacks included).
// The norm has the same bits for any number of threads (kernels/norm.hpp): threads fill blocks of
// `partial` with squared_norm_blocks, then one calls norm_of_blocks.
#pragma once

#include "tether/core/types.hpp"
#include "tether/kernels/norm.hpp"

#include <cmath>
#include <span>
#include <vector>

namespace tether::optimise {

// What the gradient is multiplied with. A norm that is not a number clips nothing, so that the
// gradient itself shows it.
[[nodiscard]] inline double clip_factor(double norm, double max_norm) {
    if (max_norm <= 0) {
        return 1;
    }
    const double factor = max_norm / (norm + 1e-6);
    return factor < 1 ? factor : 1;
}

// Euclidean norm from the blocks' sums, which are used up.
[[nodiscard]] inline double norm_of_blocks(std::span<double> partial) {
    return std::sqrt(kernels::tree_sum_in_place(partial.data(), static_cast<Index>(partial.size())));
}

// The whole on one thread.
template <class T>
[[nodiscard]] double norm(std::span<const T> values) {
    const Index blocks = kernels::norm_blocks(static_cast<Index>(values.size()));
    std::vector<double> partial(static_cast<std::size_t>(blocks));
    kernels::squared_norm_blocks(values, 0, blocks, std::span<double>(partial));
    return norm_of_blocks(partial);
}

} // namespace tether::optimise
