// See site_measure.hpp.
#include "tether/methods/site_measure.hpp"

#include "tether/core/error.hpp"

#include <algorithm>
#include <cmath>

namespace tether::methods {
namespace {

// One sample's part of rows of some number of columns.
std::span<const double> part(const std::vector<double>& rows, std::span<const std::int32_t> begin,
                             std::size_t s) {
    const std::size_t columns = begin.back() == 0 ? 0 : rows.size() / static_cast<std::size_t>(begin.back());
    const auto first = static_cast<std::size_t>(begin[s]) * columns;
    return std::span<const double>(rows).subspan(first,
                                                 static_cast<std::size_t>(begin[s + 1]) * columns - first);
}

double norm(std::span<const double> a) {
    double sum = 0;
    for (const double x : a) {
        sum += x * x;
    }
    return std::sqrt(sum);
}

double distance(std::span<const double> a, std::span<const double> b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    }
    return std::sqrt(sum);
}

double quotient(double a, double b) { return b > 0 ? a / b : 0; }

} // namespace

SiteMeasure::SiteMeasure(Index sites)
    : free_square_(static_cast<std::size_t>(sites), 0.0), equivariant_square_(free_square_) {
    figures_ = {free_square_, free_square_, free_square_, free_square_};
}

void SiteMeasure::add(Index site, const SiteRows& plain, const SiteRows& turned,
                      std::span<const std::int32_t> begin) {
    const auto i = static_cast<std::size_t>(site);
    check(i < free_square_.size() && !begin.empty() && begin.front() == 0, "site {} of {}: no samples given",
          site, free_square_.size());
    const auto rows = static_cast<std::size_t>(begin.back());
    for (const SiteRows* r : {&plain, &turned}) {
        for (const std::vector<double>* values : {&r->entering, &r->equivariant, &r->free}) {
            check(rows == 0 ? values->empty() : values->size() % rows == 0, "site {}: {} numbers for {} rows",
                  site, values->size(), rows);
        }
        check(r->equivariant.size() == r->free.size() && r->entering.size() == plain.entering.size() &&
                  r->free.size() == plain.free.size(),
              "site {}: branches of {} and {} numbers", site, r->equivariant.size(), r->free.size());
    }
    const auto compare = [&](const SiteRows& other, std::size_t a, std::size_t b) {
        const auto z = part(plain.entering, begin, a);
        const double moved = distance(z, part(other.entering, begin, b));
        if (moved > 1e-5 * norm(z)) { // what stays where it is (invariants under a turn) tells rounding only
            double& m = figures_.lipschitz[i];
            double& c = figures_.free_lipschitz[i];
            m = std::max(m, distance(part(plain.equivariant, begin, a), part(other.equivariant, begin, b)) /
                                moved);
            c = std::max(c, distance(part(plain.free, begin, a), part(other.free, begin, b)) / moved);
        }
    };
    for (std::size_t s = 0; s + 1 < begin.size(); ++s) {
        const double entering = norm(part(plain.entering, begin, s));
        const double free = norm(part(plain.free, begin, s));
        const double equivariant = norm(part(plain.equivariant, begin, s));
        free_square_[i] += free * free;
        equivariant_square_[i] += equivariant * equivariant;
        figures_.free_size[i] = std::max(figures_.free_size[i], quotient(free, entering));
        if (site == 0) {
            figures_.input_norm = std::max(figures_.input_norm, entering);
        }
        compare(turned, s, s);
        if (s + 2 < begin.size() && begin[s + 1] - begin[s] == begin[s + 2] - begin[s + 1]) {
            compare(plain, s, s + 1);
        }
    }
    figures_.ratio[i] = std::sqrt(quotient(free_square_[i], equivariant_square_[i]));
}

BoundConstants estimated_constants(const SiteFigures& figures, std::span<const double> gamma) {
    const auto largest = [](const std::vector<double>& values) {
        return values.empty() ? 0.0 : std::ranges::max(values);
    };
    BoundConstants c;
    for (const double g : gamma) {
        c.gate = std::max(c.gate, std::abs(g));
    }
    c.sites = std::max<Index>(1, std::ssize(figures.ratio));
    c.lipschitz = largest(figures.lipschitz);
    c.free_lipschitz = largest(figures.free_lipschitz);
    c.free_size = largest(figures.free_size);
    c.input_norm = figures.input_norm;
    return c;
}

} // namespace tether::methods
