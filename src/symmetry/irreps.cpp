// Lists of irreps: counts, merging, weight-balanced hidden features. Reading text: irreps_parse.cpp.
#include "tether/symmetry/irreps.hpp"

#include "tether/core/error.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace tether::symmetry {

std::string Irrep::to_string() const { return fmt::format("{}{}", l, parity == 1 ? 'e' : 'o'); }

bool couples(const Irrep& a, const Irrep& b, const Irrep& c) {
    return std::abs(a.l - b.l) <= c.l && c.l <= a.l + b.l && a.parity * b.parity == c.parity;
}

Irreps::Irreps(std::vector<Term> terms) : terms_(std::move(terms)) {
    check(size() <= max_terms, "irreps: {} terms, at most {} are allowed", size(), max_terms);
    for (const Term& term : terms_) {
        check(term.ir.l >= 0 && term.ir.l <= max_l, "irreps: degree {}, expected 0 to {}", term.ir.l, max_l);
        check(term.ir.parity == 1 || term.ir.parity == -1, "irreps: parity {}, expected +1 or -1",
              term.ir.parity);
        check(term.mul >= 0, "irreps: multiplicity {} of {}, expected 0 or more", term.mul,
              term.ir.to_string());
        check(term.mul <= (max_dim - dim_) / term.ir.dim(),
              "irreps: {} copies of {} make more than {} columns", term.mul, term.ir.to_string(), max_dim);
        dim_ += term.dim();
    }
}

Irreps Irreps::spherical(int lmax, Index multiplicity) {
    check(lmax >= 0 && lmax <= max_l, "irreps: degree {}, expected 0 to {}", lmax, max_l);
    std::vector<Term> terms;
    for (int l = 0; l <= lmax; ++l) {
        terms.push_back({multiplicity, {l, l % 2 == 0 ? 1 : -1}});
    }
    return Irreps(std::move(terms));
}

Index Irreps::count() const {
    Index sum = 0;
    for (const Term& term : terms_) {
        sum += term.mul;
    }
    return sum;
}

int Irreps::lmax() const {
    int largest = -1;
    for (const Term& term : terms_) {
        if (term.mul > 0) {
            largest = std::max(largest, term.ir.l);
        }
    }
    return largest;
}

Index Irreps::offset(Index term) const {
    Index columns = 0;
    for (Index t = 0; t < term; ++t) {
        columns += (*this)[t].dim();
    }
    return columns;
}

Index Irreps::multiplicity(const Irrep& ir) const {
    Index sum = 0;
    for (const Term& term : terms_) {
        sum += term.ir == ir ? term.mul : 0;
    }
    return sum;
}

bool Irreps::only_scalars() const {
    return std::ranges::all_of(terms_, [](const Term& term) { return term.mul == 0 || term.ir.scalar(); });
}

std::string Irreps::to_string() const {
    std::string text;
    for (const Term& term : terms_) {
        text += fmt::format("{}{}x{}", text.empty() ? "" : "+", term.mul, term.ir.to_string());
    }
    return text;
}

Irreps Irreps::simplified() const {
    std::vector<Term> merged;
    for (const Term& term : terms_) {
        if (term.mul == 0) {
            continue;
        }
        if (!merged.empty() && merged.back().ir == term.ir) {
            merged.back().mul += term.mul;
        } else {
            merged.push_back(term);
        }
    }
    return Irreps(std::move(merged));
}

Irreps Irreps::operator+(const Irreps& other) const {
    std::vector<Term> terms = terms_;
    terms.insert(terms.end(), other.terms_.begin(), other.terms_.end());
    return Irreps(std::move(terms));
}

Irreps weight_balanced_irreps(Index width, const Irreps& attribute, int lmax) {
    constexpr Index max_width = 1'000'000; // its square fits
    check(width >= 1 && width <= max_width, "weight-balanced irreps: width {}, expected 1 to {}", width,
          max_width);
    check(lmax >= 0 && lmax <= max_degree, "weight-balanced irreps: degree {}, expected 0 to {}", lmax,
          max_degree);
    const Irreps one = Irreps::spherical(lmax);
    Index weights = 0; // of n = 1: the paths, each with the copies of its attribute
    for (const Term& b : attribute) {
        for (const Term& a : one) {
            for (const Term& c : one) {
                weights += couples(a.ir, b.ir, c.ir) ? b.mul : 0;
            }
        }
    }
    check(weights > 0, "weight-balanced irreps: no path from {} with attributes '{}' onto itself",
          one.to_string(), attribute.to_string());
    const Index wanted = width * width;
    // In whole numbers: exact where width² / weights is a perfect square.
    auto n = static_cast<Index>(std::sqrt(static_cast<double>(wanted) / static_cast<double>(weights)));
    n = std::max<Index>(n - 1, 1);
    while (n * n < (wanted + weights - 1) / weights) {
        ++n;
    }
    return Irreps::spherical(lmax, n);
}

Irreps weight_balanced_irreps(Index width, int lmax_attribute, int lmax) {
    return weight_balanced_irreps(width, Irreps::spherical(lmax_attribute), lmax);
}

} // namespace tether::symmetry
