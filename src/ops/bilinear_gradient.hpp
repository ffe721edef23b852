// Private to src/ops: the nodes that the reverse of a bilinear map appends besides the transposed map.
#pragma once

#include "tether/ops/bilinear.hpp"

#include <memory>

namespace tether::ops {

// Inputs x, dy; output the gradient of the attributes.
[[nodiscard]] std::shared_ptr<const Op> attribute_gradient(BilinearMap map);
// Reverse of the gathered form, by the transposed map. Inputs dy, attributes; outputs d at_receiver,
// d at_sender[, d on_edge].
[[nodiscard]] std::shared_ptr<const Op> gathered_bilinear_backward(const BilinearMap& back);

} // namespace tether::ops
