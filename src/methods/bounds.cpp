// See bounds.hpp.
#include "tether/methods/bounds.hpp"

#include "tether/core/error.hpp"

#include <algorithm>
#include <cmath>

namespace tether::methods {
namespace {

void check_constants(const BoundConstants& c) {
    check(c.sites >= 1, "bound: {} sites, expected 1 or more", c.sites);
    check(c.gate >= 0 && c.lipschitz >= 0 && c.free_lipschitz >= 0 && c.free_size >= 0 && c.input_norm >= 0,
          "bound: gate {}, Lipschitz constants {} and {}, size {}, input norm {}: expected values >= 0",
          c.gate, c.lipschitz, c.free_lipschitz, c.free_size, c.input_norm);
}

} // namespace

double truncation_bound(const BoundConstants& c) {
    check_constants(c);
    double sum = 0;
    double power = 1;
    for (Index k = 0; k < c.sites; ++k) {
        sum += power;
        power *= 1 + c.gate;
    }
    const double lipschitz = std::max(c.lipschitz, c.free_size);
    return sum * c.gate * c.free_size * std::pow(lipschitz, static_cast<double>(c.sites - 1)) * c.input_norm;
}

double equivariance_bound(const BoundConstants& c) {
    check_constants(c);
    const double size = c.orthogonal ? c.free_size : c.free_size * c.free_size;
    return 2 * c.gate * std::pow(c.lipschitz + c.free_lipschitz * c.gate, static_cast<double>(c.sites - 1)) *
           static_cast<double>(c.sites) * size * c.input_norm;
}

} // namespace tether::methods
