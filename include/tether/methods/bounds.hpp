// Two bounds on what gates cost (methods.md 7), for L sites in sequence, layers that map 0 to 0, and
// g = max |gamma_i|, M = Lipschitz constant of the f_eq,i, C of the f_free,i, B with
// |f_free,i(z)| <= B |z| and |rho(g)| <= B on every feature space, |x| the norm of the input:
//     truncation:   |f_gamma(x) - f_0(x)| <= [sum_{k<L} (1 + g)^k] g B M^(L-1) |x|
//     equivariance: |rho f_gamma(x) - f_gamma(rho x)| <= 2 g (M + C g)^(L-1) L B^2 |x|
// The first holds as printed where B <= M only (M = 1, B = 2, g = 1, L = 2 gives 6 for a distance of
// 8); any number above a Lipschitz constant is one too, so max(M, B) stands in for M. The second is
// printed for |x| = 1. For real networks the constants are estimates.
#pragma once

#include "tether/core/types.hpp"

namespace tether::methods {

struct BoundConstants {
    double gate = 0;           // g
    Index sites = 1;           // L
    double lipschitz = 1;      // M
    double free_lipschitz = 1; // C
    double free_size = 1;      // B
    double input_norm = 1;     // |x|
    bool orthogonal = true;    // every rho(g) is: B instead of B^2
};

// Throw Error(usage) for negative constants or no site.
[[nodiscard]] double truncation_bound(const BoundConstants& constants);
[[nodiscard]] double equivariance_bound(const BoundConstants& constants);

} // namespace tether::methods
