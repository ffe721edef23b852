// See clip.hpp. Compiled once, here, so that every caller gets the same roundings.
#include "tether/optimise/clip.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tether::optimise {

double clip_factor(double norm, double max_norm) {
    if (max_norm <= 0) {
        return 1;
    }
    const double factor = max_norm / (norm + 1e-6);
    return factor < 1 ? factor : 1;
}

template <class T>
void squared_norm_blocks(std::span<const T> values, Index first, Index last, std::span<double> partial) {
    const auto size = static_cast<Index>(values.size());
    for (Index block = first; block < last; ++block) {
        const Index begin = block * kernels::norm_block;
        const Index count = std::min(kernels::norm_block, size - begin);
        partial[static_cast<std::size_t>(block)] = kernels::squared_norm_block(values.data() + begin, count);
    }
}

double norm_of_blocks(std::span<double> partial) {
    return std::sqrt(kernels::tree_sum_in_place(partial.data(), static_cast<Index>(partial.size())));
}

template <class T>
double norm(std::span<const T> values) {
    const Index blocks = kernels::norm_blocks(static_cast<Index>(values.size()));
    std::vector<double> partial(static_cast<std::size_t>(blocks));
    squared_norm_blocks(values, 0, blocks, std::span<double>(partial));
    return norm_of_blocks(partial);
}

template void squared_norm_blocks(std::span<const float>, Index, Index, std::span<double>);
template void squared_norm_blocks(std::span<const double>, Index, Index, std::span<double>);
template double norm(std::span<const float>);
template double norm(std::span<const double>);

} // namespace tether::optimise
