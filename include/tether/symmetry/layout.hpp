// Between the published memory order of features, per term [mul, 2l+1], and the one of tether's
// programs, per term [2l+1, mul], where a linear map over copies is one matrix product for each
// component. Terms stay where they are, and are taken as given: merge them first (simplified())
// where neighbouring equal terms shall be one block.
#pragma once

#include "tether/symmetry/irreps.hpp"

#include <vector>

namespace tether::symmetry {

// p with internal[k] = published[p[k]].
[[nodiscard]] std::vector<Index> component_major_order(const Irreps& irreps);
// q with published[k] = internal[q[k]]: the inverse of the above.
[[nodiscard]] std::vector<Index> published_order(const Irreps& irreps);

} // namespace tether::symmetry
