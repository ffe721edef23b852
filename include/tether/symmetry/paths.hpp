// The paths of a fully connected tensor product A ⊗ B → C: every (a, b, c) allowed by degree and
// parity, each with its block of the flat weight vector. Terms are slots: neighbouring equal terms
// are merged, others stay apart. Blocks follow each other in the order a outer, b, c inner; each is
// [mul_a, mul_b, mul_c], mul_c fastest: the published layout of `tp.weight`.
#pragma once

#include "tether/symmetry/irreps.hpp"

#include <vector>

namespace tether::symmetry {

struct TensorPath {
    Index a = 0, b = 0, c = 0; // terms of the merged lists
    Index offset = 0;          // of the block in the flat weight vector
    Index mul_a = 0, mul_b = 0, mul_c = 0;
    [[nodiscard]] Index weights() const { return mul_a * mul_b * mul_c; }
};

struct TensorPaths {
    Irreps a, b, c; // merged
    std::vector<TensorPath> paths;
    std::vector<Index> fan_in; // per term of c: Σ mul_a·mul_b over its paths; 0: nothing reaches it
    Index weights = 0;         // length of the flat vector
};

// Throws Error(usage) where the weights could not be counted.
[[nodiscard]] TensorPaths tensor_paths(const Irreps& a, const Irreps& b, const Irreps& c);

} // namespace tether::symmetry
