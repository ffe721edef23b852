// Which samples a training step sees: a pure function of (seed, step), never of what ran before.
// Every epoch is a permutation (Fisher-Yates, Philox keyed by seed and epoch) of the split, cut
// into batches; the last one is short unless drop_last.
#pragma once

#include "tether/core/types.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace tether::data {

class BatchOrder {
public:
    // Throws Error(usage) for no samples, batch < 1, or drop_last with fewer samples than a batch.
    BatchOrder(std::span<const Index> samples, Index batch, std::uint64_t seed, bool drop_last = false);

    [[nodiscard]] Index steps_per_epoch() const { return steps_; }
    [[nodiscard]] Index epoch(Index step) const { return step / steps_; }
    // Valid until a call for a step of another epoch.
    [[nodiscard]] std::span<const Index> batch(Index step);

private:
    std::vector<Index> samples_, order_;
    Index batch_ = 1;
    Index steps_ = 0;
    Index cached_epoch_ = -1;
    std::uint64_t seed_ = 0;
};

} // namespace tether::data
