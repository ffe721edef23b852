// What sites do on a probe batch, and estimates of the constants of the bounds (bounds.hpp) from it. At
// site i with z entering, e = f_eq,i(z) and n = f_free,i(z), all norms over the rows and columns of a sample:
//     ratio            |n| over |e|, both over the whole batch
//     free_size        largest |n| / |z|                                    (B)
//     lipschitz        largest |e - e'| / |z - z'|                          (M)
//     free_lipschitz   largest |n - n'| / |z - z'|                          (C)
// over pairs of a sample with the next one of equal size, and with itself turned. Largest observed ratios are
// lower estimates of the constants, so that what is computed from them is an estimate of a bound too.
#pragma once

#include "tether/core/types.hpp"
#include "tether/methods/bounds.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace tether::methods {

// Rows of one site in one run of a network, row-major; samples are contiguous.
struct SiteRows {
    std::vector<double> entering, equivariant, free;
};

struct SiteFigures {
    std::vector<double> ratio, free_size, lipschitz, free_lipschitz; // [sites]
    double input_norm = 0; // largest |z| of a sample at the first site
};

class SiteMeasure {
public:
    explicit SiteMeasure(Index sites);

    // `plain` and `turned`: the same samples in two positions. sample_begin: first row of each sample and,
    // last, the number of rows. Throws Error(usage) where sizes do not fit.
    void add(Index site, const SiteRows& plain, const SiteRows& turned,
             std::span<const std::int32_t> sample_begin);

    [[nodiscard]] const SiteFigures& figures() const { return figures_; }

private:
    SiteFigures figures_;
    std::vector<double> free_square_, equivariant_square_;
};

// With gates gamma: the largest of each over the sites.
[[nodiscard]] BoundConstants estimated_constants(const SiteFigures& figures, std::span<const double> gamma);

} // namespace tether::methods
