// Irreducible representations of O(3) and lists of them: what the columns of a feature mean.
// "32x0e+32x1o": 32 scalars, then 32 vectors; e is even (+1), o odd (-1) under inversion. In the
// published memory order a term lies multiplicity-major, [mul, 2l+1]; terms follow each other.
// All counts are bounded on construction, so that no sum or product below can overflow.
#pragma once

#include "tether/core/types.hpp"

#include <compare>
#include <string>
#include <string_view>
#include <vector>

namespace tether::symmetry {

// Degree up to which matrices and coupling tensors are computed; a list may name higher ones.
inline constexpr int max_degree = 6;

struct Irrep {
    int l = 0;
    int parity = 1; // +1 or -1
    [[nodiscard]] Index dim() const { return 2 * Index{l} + 1; }
    [[nodiscard]] std::string to_string() const; // "1o"
    [[nodiscard]] bool scalar() const { return l == 0 && parity == 1; }
    bool operator==(const Irrep&) const = default;
};

// Whether c occurs in a ⊗ b: |la-lb| <= lc <= la+lb and the parities multiply.
[[nodiscard]] bool couples(const Irrep& a, const Irrep& b, const Irrep& c);

struct Term {
    Index mul = 1;
    Irrep ir;
    [[nodiscard]] Index dim() const { return mul * ir.dim(); }
    bool operator==(const Term&) const = default;
};

class Irreps {
public:
    static constexpr Index max_terms = 1024;
    static constexpr Index max_dim = 1'000'000'000; // of the whole list
    static constexpr int max_l = 1000;              // what a text may name

    Irreps() = default;
    explicit Irreps(std::vector<Term> terms); // throws Error(usage) beyond the bounds above

    // Blanks and a multiplicity of 1 may be left out; y stands for the parity (-1)^l; an empty
    // text is the empty list. Throws Error(usage) naming the position and what was expected.
    [[nodiscard]] static Irreps parse(std::string_view text);
    // 0e+1o+2e+... up to lmax: what the harmonics of a vector are; with multiplicity, so many each.
    [[nodiscard]] static Irreps spherical(int lmax, Index multiplicity = 1);

    [[nodiscard]] const std::vector<Term>& terms() const { return terms_; }
    [[nodiscard]] Index size() const { return static_cast<Index>(terms_.size()); }
    [[nodiscard]] bool empty() const { return terms_.empty(); }
    [[nodiscard]] const Term& operator[](Index term) const { return terms_[static_cast<std::size_t>(term)]; }
    [[nodiscard]] auto begin() const { return terms_.begin(); }
    [[nodiscard]] auto end() const { return terms_.end(); }

    [[nodiscard]] Index dim() const { return dim_; }         // columns
    [[nodiscard]] Index count() const;                       // sum of the multiplicities
    [[nodiscard]] int lmax() const;                          // -1 if there is nothing
    [[nodiscard]] Index offset(Index term) const;            // first column; offset(size()) is dim()
    [[nodiscard]] Index multiplicity(const Irrep& ir) const; // over all terms
    [[nodiscard]] bool only_scalars() const;                 // 0e and nothing else
    [[nodiscard]] std::string to_string() const;             // "32x0e+32x1o"

    // Neighbouring equal terms merged, those without copies dropped. Columns do not move.
    [[nodiscard]] Irreps simplified() const;
    // The terms of both, one after the other.
    [[nodiscard]] Irreps operator+(const Irreps& other) const;

    bool operator==(const Irreps& other) const { return terms_ == other.terms_; }

private:
    std::vector<Term> terms_;
    Index dim_ = 0;
};

// Hidden irreps n x (0e+1o+...+lmax) with the smallest n whose tensor product with `attribute` onto
// itself has at least width² weights, those of a dense layer: n = ceil(width / sqrt(paths)).
[[nodiscard]] Irreps weight_balanced_irreps(Index width, const Irreps& attribute, int lmax);
[[nodiscard]] Irreps weight_balanced_irreps(Index width, int lmax_attribute, int lmax);

} // namespace tether::symmetry
