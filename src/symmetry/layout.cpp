// Index lists of the two memory orders; the second is computed as the inverse of the first, so that
// the rule is written once.
#include "tether/symmetry/layout.hpp"

namespace tether::symmetry {

std::vector<Index> component_major_order(const Irreps& irreps) {
    std::vector<Index> order;
    order.reserve(static_cast<std::size_t>(irreps.dim()));
    Index first = 0;
    for (const Term& term : irreps) {
        for (Index component = 0; component < term.ir.dim(); ++component) {
            for (Index copy = 0; copy < term.mul; ++copy) {
                order.push_back(first + copy * term.ir.dim() + component);
            }
        }
        first += term.dim();
    }
    return order;
}

std::vector<Index> published_order(const Irreps& irreps) {
    const std::vector<Index> order = component_major_order(irreps);
    std::vector<Index> inverse(order.size());
    for (std::size_t k = 0; k < order.size(); ++k) {
        inverse[static_cast<std::size_t>(order[k])] = static_cast<Index>(k);
    }
    return inverse;
}

} // namespace tether::symmetry
