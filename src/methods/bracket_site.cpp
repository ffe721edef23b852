// The constants of one map in the penalty of `schedule`: generators, and where they are zero.
#include "tether/methods/bracket.hpp"

#include <algorithm>

namespace tether::methods {
namespace {

using symmetry::Representation;
using symmetry::SparseEntry;

std::vector<Index> widths_of(const std::vector<Representation>& parts) {
    std::vector<Index> widths;
    for (const Representation& part : parts) {
        widths.push_back(part.columns());
    }
    return widths;
}

Representation joined(const std::vector<Representation>& parts) {
    Representation all;
    for (const Representation& part : parts) {
        all = all + part;
    }
    return all;
}

// Released: the three generators' rows in published order, one below the other, reread in rows of three;
// matrix j takes element j of every row.
std::array<std::vector<SparseEntry>, 3> reread(const Representation& r) {
    const Index n = r.columns();
    std::vector<Index> place = r.published_order();
    if (place.empty()) {
        for (Index k = 0; k < n; ++k) {
            place.push_back(k);
        }
    }
    std::vector<Index> inside(static_cast<std::size_t>(n));
    for (Index k = 0; k < n; ++k) {
        inside[static_cast<std::size_t>(place[static_cast<std::size_t>(k)])] = k;
    }
    std::array<std::vector<SparseEntry>, 3> out;
    for (int axis = 0; axis < 3; ++axis) {
        for (const SparseEntry& e : symmetry::generator(r, axis)) {
            const Index stacked = axis * n + place[static_cast<std::size_t>(e.row)];
            out[static_cast<std::size_t>(stacked % 3)].push_back(
                {inside[static_cast<std::size_t>(stacked / 3)], e.column, e.value});
        }
    }
    return out;
}

std::array<std::vector<SparseEntry>, 3> matrices(const Representation& r, Bracket bracket) {
    if (bracket == Bracket::released) {
        return reread(r);
    }
    return {symmetry::generator(r, 0), symmetry::generator(r, 1), symmetry::generator(r, 2)};
}

} // namespace

BracketSite::BracketSite(const std::vector<Representation>& in, const Representation& out, Bracket bracket)
    : out_(out.columns()), layout_(widths_of(in)), bias_in_bracket_(bracket == Bracket::released) {
    auto input = matrices(joined(in), bracket);
    auto output = matrices(out, bracket);
    for (std::size_t a = 0; a < 3; ++a) {
        pairs_[a].in = diagonals(input[a]);
        pairs_[a].out = diagonals(output[a]);
        pairs_[a].row_active.assign(static_cast<std::size_t>(out_), false);
        for (const SparseEntry& e : output[a]) {
            pairs_[a].row_active[static_cast<std::size_t>(e.row)] = true;
        }
    }
    find_ranges();
}

void BracketSite::find_ranges() {
    std::vector<int> pattern(static_cast<std::size_t>(in()), 0);
    for (std::size_t a = 0; a < 3; ++a) {
        for (const Diagonal& d : pairs_[a].in) {
            for (Index k = 0; k < d.count; ++k) {
                pattern[static_cast<std::size_t>(d.column + k)] |= 1 << a;
            }
        }
    }
    for (Index k = 0; k < in(); ++k) {
        const auto at = static_cast<std::size_t>(k);
        if (k == 0 || pattern[at] != pattern[at - 1]) {
            ranges_.push_back({k, 0});
            for (std::size_t a = 0; a < 3; ++a) {
                pairs_[a].range_active.push_back(((pattern[at] >> a) & 1) != 0);
            }
        }
        ++ranges_.back().count;
    }
    if (ranges_.size() > most_ranges) {
        ranges_ = {{0, in()}};
        for (Pair& pair : pairs_) {
            pair.range_active = {true};
        }
    }
}

std::vector<BracketSite::Diagonal> BracketSite::diagonals(const std::vector<SparseEntry>& entries) {
    std::vector<Diagonal> all;
    for (const SparseEntry& e : entries) {
        const auto known = std::ranges::find_if(all, [&](const Diagonal& d) {
            return d.row + d.count == e.row && d.column + d.count == e.column && d.value == e.value;
        });
        if (known == all.end()) {
            all.push_back({e.row, e.column, 1, e.value});
        } else {
            ++known->count;
        }
    }
    return all;
}

BracketSite::Entries BracketSite::entries(std::size_t a) const {
    const auto expanded = [](const std::vector<Diagonal>& diagonals) {
        std::vector<SparseEntry> all;
        for (const Diagonal& d : diagonals) {
            for (Index k = 0; k < d.count; ++k) {
                all.push_back({d.row + k, d.column + k, d.value});
            }
        }
        return all;
    };
    return {expanded(pairs_[a].in), expanded(pairs_[a].out)};
}

} // namespace tether::methods
