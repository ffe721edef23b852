// Global norm of a gradient and clipping as torch.nn.utils.clip_grad_norm_: g min(1, c/(|g| + 1e-6)),
// one norm over everything the step is given (gates with their multiplier terms and slacks included).
// The norm has the same bits for any number of threads (kernels/norm.hpp): threads fill blocks of
// `partial` with squared_norm_blocks, then one calls norm_of_blocks.
#pragma once

#include "tether/core/types.hpp"
#include "tether/kernels/norm.hpp"

#include <span>

namespace tether::optimise {

// What the gradient is multiplied with. A norm that is not a number clips nothing, so that the
// gradient itself shows it.
[[nodiscard]] double clip_factor(double norm, double max_norm);

// Sums of squares of blocks [first, last) into partial[first..last): what one thread does. There are
// kernels::norm_blocks(size) blocks.
template <class T>
void squared_norm_blocks(std::span<const T> values, Index first, Index last, std::span<double> partial);

// Euclidean norm from the blocks' sums, which are used up.
[[nodiscard]] double norm_of_blocks(std::span<double> partial);

// The whole on one thread.
template <class T>
[[nodiscard]] double norm(std::span<const T> values);

extern template void squared_norm_blocks(std::span<const float>, Index, Index, std::span<double>);
extern template void squared_norm_blocks(std::span<const double>, Index, Index, std::span<double>);
extern template double norm(std::span<const float>);
extern template double norm(std::span<const double>);

} // namespace tether::optimise
