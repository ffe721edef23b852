// Fills the fields that hold random numbers of a step (methods/drawn.hpp). All are pure functions of
// (seed, step, sample), or of these over the whole global batch; no allocation once the largest batch
// was seen.
#pragma once

#include "tether/data/graph_set.hpp"
#include "tether/program/program.hpp"
#include "tether/symmetry/groups.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace tether::run {

class Draws {
public:
    Draws(const Program& program, std::uint64_t seed);

    // For the whole global batch of a step; then fill() may be called by several threads at once.
    void begin(const data::GraphSet& set, std::span<const Index> samples, Index step);
    template <class T>
    void fill(BatchPart<T>& part) const;

private:
    struct Turn {
        std::size_t field;
        int l;
    };
    // A row's key decides whether it is among the chosen: those with the smallest.
    struct Key {
        std::uint32_t key;
        Index sample, row; // row within the sample; ties are broken by these
        auto operator<=>(const Key&) const = default;
    };
    struct Rows {
        std::size_t field;
        Extent extent;
        double weight = 0;
        bool all = true;
        Key last{}; // the largest chosen key
    };
    template <class Visit>
    void keys_of(Index sample, Index rows, Visit&& visit) const;

    std::uint64_t seed_;
    Index step_ = 0;
    symmetry::Group group_; // proper elements of the data set's
    std::vector<Turn> turns_;
    std::vector<Rows> rows_;
    std::vector<Key> keys_;
};

} // namespace tether::run
