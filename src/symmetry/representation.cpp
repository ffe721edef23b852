#include "tether/symmetry/representation.hpp"

#include "tether/core/error.hpp"
#include "tether/symmetry/generators.hpp"

#include <algorithm>

namespace tether::symmetry {

Representation::Representation(const Irreps& irreps, Layout layout) : columns_(irreps.dim()) {
    for (Index t = 0; t < irreps.size(); ++t) {
        const Term& term = irreps[t];
        const bool published = layout == Layout::published;
        if (term.mul > 0) {
            pieces_.push_back({term.ir, term.mul, irreps.offset(t), published ? term.ir.dim() : 1,
                               published ? 1 : term.mul});
        }
    }
}

Representation Representation::scalars(Index count) {
    return {Irreps({{count, Irrep{0, 1}}}), Layout::published};
}

Representation Representation::vectors(Index count) {
    return {Irreps({{count, Irrep{1, -1}}}), Layout::published};
}

int Representation::lmax() const {
    int most = -1;
    for (const Piece& piece : pieces_) {
        most = std::max(most, piece.ir.l);
    }
    return most;
}

Representation Representation::operator+(const Representation& other) const {
    Representation sum = *this;
    for (Piece piece : other.pieces_) {
        piece.column += columns_;
        sum.pieces_.push_back(piece);
    }
    sum.columns_ += other.columns_;
    return sum;
}

std::vector<Index> Representation::published_order() const {
    std::vector<Index> order(static_cast<std::size_t>(columns_));
    Index next = 0;
    for (const Piece& piece : pieces_) {
        for (Index copy = 0; copy < piece.copies; ++copy) {
            for (Index m = 0; m < piece.ir.dim(); ++m) {
                order[static_cast<std::size_t>(piece.at(copy, m))] = next++;
            }
        }
    }
    for (Index k = 0; k < columns_; ++k) {
        if (order[static_cast<std::size_t>(k)] != k) {
            return order;
        }
    }
    return {};
}

std::vector<SparseEntry> generator(const Representation& representation, int axis) {
    check(axis >= 0 && axis < 3, "generator: axis {}, expected 0, 1 or 2", axis);
    std::vector<SparseEntry> entries;
    for (const Piece& piece : representation.pieces()) {
        const Matrix& x = generators(piece.ir.l)[static_cast<std::size_t>(axis)];
        for (Index i = 0; i < x.rows; ++i) {
            for (Index j = 0; j < x.columns; ++j) {
                for (Index copy = 0; x(i, j) != 0 && copy < piece.copies; ++copy) {
                    entries.push_back({piece.at(copy, i), piece.at(copy, j), x(i, j)});
                }
            }
        }
    }
    std::ranges::sort(entries, [](const SparseEntry& a, const SparseEntry& b) {
        return a.row != b.row ? a.row < b.row : a.column < b.column;
    });
    return entries;
}

} // namespace tether::symmetry
