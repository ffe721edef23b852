// Cuts a global batch of B samples into L lanes (lane l: samples [l*B/L, (l+1)*B/L), so that lanes
// may be empty) and copies the graphs of some consecutive lanes into a BatchPart. Part of every
// training step: no allocation once the part has seen its largest batch.
#pragma once

#include "tether/data/graph_set.hpp"

namespace tether::data {

// `fields` are numbers from GraphSet::field_numbers; part.field follows their order; a field of
// number -1 is left for somebody else to fill. `samples` is the whole global batch (fields may depend on
// it: Field::over_batch_maximum). Throws Error(usage) for lanes or sample numbers out of range.
template <class T>
void collate(const GraphSet& set, std::span<const int> fields, std::span<const Index> samples,
             Index lanes_total, Index lane_first, Index lane_count, BatchPart<T>& part);

// Samples [first, last) of a batch of `batch` that lane `lane` of `lanes` has.
struct SampleRange {
    Index first = 0, last = 0;
};
[[nodiscard]] inline SampleRange lane_samples(Index batch, Index lanes, Index lane) {
    return {lane * batch / lanes, (lane + 1) * batch / lanes};
}

extern template void collate<float>(const GraphSet&, std::span<const int>, std::span<const Index>, Index,
                                    Index, Index, BatchPart<float>&);
extern template void collate<double>(const GraphSet&, std::span<const int>, std::span<const Index>, Index,
                                     Index, Index, BatchPart<double>&);

} // namespace tether::data
