// Shapes that right and wrong recordings of operations are made of.
#pragma once

#include "tether/ops/bilinear.hpp"
#include "tether/ops/gate.hpp"
#include "tether/ops/norms.hpp"
#include "tether/ops/times.hpp"

#include <vector>

namespace tether::test {

// A contraction like that of a tensor product: blocks of w channels, several terms on one output
// block, an input block read twice, an input block and an output block that no term touches.
inline ops::BilinearMap contraction(Index w) {
    ops::BilinearMap map{4 * w, {}};
    map.terms.push_back({0, 0, 0, w, 0.7});
    map.terms.push_back({0, w, 1, w, -1.3});
    map.terms.push_back({w, 0, 2, w, 0.4});
    map.terms.push_back({3 * w, 2 * w, 1, w, 2.1});
    map.terms.push_back({3 * w, 2 * w, 3, w, -0.6});
    return map; // output block 2 and input block 3 stay untouched
}

inline std::vector<ops::NormTerm> norm_terms(Index w) {
    return {{0, w, 1, true}, {w, 2, 1, true}, {w + 2, w, 3, false}, {4 * w + 2, 1, 5, false}};
}

inline kernels::GateShape gate_shape(Index w) { return {w, w + 1, 3 * w + 5, 1.7, 1.9}; }
inline std::vector<kernels::GatedTerm> gated_terms(Index w) { return {{0, 0, 3, w}, {w, 3 * w, 5, 1}}; }

// Parts of 3 numbers or 3 times to 2, with a row of zeros.
inline const ops::TimeMap three_to_two{2, 3, {0, 0, 0, 0.5, -1.5, 2}};

} // namespace tether::test
