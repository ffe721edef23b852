// Enumerates paths in the published order. Weights are bounded before they are multiplied: the
// lists may come from a hostile file.
#include "tether/symmetry/paths.hpp"

#include "tether/core/error.hpp"

namespace tether::symmetry {

TensorPaths tensor_paths(const Irreps& a, const Irreps& b, const Irreps& c) {
    constexpr Index max_weights = Index{1} << 40;
    TensorPaths out{a.simplified(), b.simplified(), c.simplified(), {}, {}, 0};
    out.fan_in.assign(static_cast<std::size_t>(out.c.size()), 0);
    for (Index i = 0; i < out.a.size(); ++i) {
        for (Index j = 0; j < out.b.size(); ++j) {
            for (Index k = 0; k < out.c.size(); ++k) {
                if (!couples(out.a[i].ir, out.b[j].ir, out.c[k].ir)) {
                    continue;
                }
                const TensorPath path{i, j, k, out.weights, out.a[i].mul, out.b[j].mul, out.c[k].mul};
                // Each multiplicity is at most 1e9, so the product of two does not overflow.
                check(path.mul_a * path.mul_b <= (max_weights - out.weights) / path.mul_c,
                      "tensor product of {} and {} to {}: more than 2^40 weights", out.a.to_string(),
                      out.b.to_string(), out.c.to_string());
                out.weights += path.weights();
                out.fan_in[static_cast<std::size_t>(k)] += path.mul_a * path.mul_b;
                out.paths.push_back(path);
            }
        }
    }
    return out;
}

} // namespace tether::symmetry
