// See batch_order.hpp.
#include "tether/data/batch_order.hpp"

#include "tether/core/error.hpp"
#include "tether/core/philox.hpp"

#include <algorithm>
#include <utility>

namespace tether::data {

BatchOrder::BatchOrder(std::span<const Index> samples, Index batch, std::uint64_t seed, bool drop_last)
    : samples_(samples.begin(), samples.end()), order_(samples_), batch_(batch), seed_(seed) {
    check(batch > 0, "batch size {}; at least 1 was expected", batch);
    check(!samples.empty(), "the split has no samples");
    const Index count = std::ssize(samples_);
    steps_ = drop_last ? count / batch : (count + batch - 1) / batch;
    check(steps_ > 0, "drop_last leaves nothing of {} samples in batches of {}", count, batch);
}

std::span<const Index> BatchOrder::batch(Index step) {
    check(step >= 0, "step {}; steps count from 0", step);
    const Index wanted = epoch(step);
    if (wanted != cached_epoch_) {
        order_ = samples_;
        RandomStream random(seed_, Purpose::batch_order, static_cast<std::uint64_t>(wanted));
        for (std::size_t i = order_.size() - 1; i > 0; --i) {
            std::swap(order_[i], order_[random.below(i + 1)]);
        }
        cached_epoch_ = wanted;
    }
    const auto first = static_cast<std::size_t>((step % steps_) * batch_);
    return std::span<const Index>(order_).subspan(
        first, std::min(static_cast<std::size_t>(batch_), order_.size() - first));
}

} // namespace tether::data
