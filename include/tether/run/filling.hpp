// What a training program reads of one step: the lanes of the global batch, and for fields of turned
// samples (network.hpp) the same rows turned by a group element of each sample, fresh in every step.
// A pure function of (seed, step, samples), whatever the threads and ranks.
#pragma once

#include "tether/parallel/lanes.hpp"
#include "tether/run/draws.hpp"
#include "tether/run/setup.hpp"
#include "tether/symmetry/groups.hpp"

#include <span>
#include <string>
#include <vector>

namespace tether::run {

// Numbers of a program's fields in the data; -1 for random numbers, which nobody stores.
[[nodiscard]] std::vector<int> field_numbers(const data::GraphSet& set, const Program& program);

template <class T>
class BatchFiller {
public:
    BatchFiller(const Setup& setup, const parallel::LaneMap& lanes);
    // The batch to fill from now on; `samples` must live as long as it is filled.
    void begin(Index step, std::span<const Index> samples);
    // Lanes [first, first + count); threads may call it for their own lanes at the same time.
    void operator()(Index first, Index count, BatchPart<T>& part);

private:
    const Setup& setup_;
    parallel::LaneMap lanes_;
    std::vector<int> fields_;
    std::vector<std::string> turned_; // by field: its name where it holds turned samples, else nothing
    Draws draws_;
    Index step_ = 0;
    std::span<const Index> samples_;
    std::vector<std::vector<symmetry::O3Element>> elements_; // per thread
};

} // namespace tether::run
