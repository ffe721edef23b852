// What the columns of a feature are under rotation, in whatever order they lie: pieces of equal copies
// of one irrep. Scalars, plain vectors, irreps in either layout and several features side by side are
// all such lists; a generator is a sparse matrix over the columns as they lie.
#pragma once

#include "tether/symmetry/irreps.hpp"
#include "tether/symmetry/wigner.hpp"

#include <vector>

namespace tether::symmetry {

// Component m of copy c lies in column `column + c * copy_stride + m * component_stride`.
struct Piece {
    Irrep ir;
    Index copies = 1;
    Index column = 0;
    Index copy_stride = 1, component_stride = 1;
    [[nodiscard]] Index at(Index copy, Index component) const {
        return column + copy * copy_stride + component * component_stride;
    }
    bool operator==(const Piece&) const = default;
};

class Representation {
public:
    Representation() = default;
    Representation(const Irreps& irreps, Layout layout);
    [[nodiscard]] static Representation scalars(Index count);
    [[nodiscard]] static Representation vectors(Index count = 1); // x y z of each together

    [[nodiscard]] Index columns() const { return columns_; }
    [[nodiscard]] const std::vector<Piece>& pieces() const { return pieces_; }
    [[nodiscard]] int lmax() const;
    // The columns of both, those of `other` behind.
    [[nodiscard]] Representation operator+(const Representation& other) const;
    // order[k]: place of column k when copies follow each other, components of one together (the
    // published order of irreps). Empty when the columns lie so.
    [[nodiscard]] std::vector<Index> published_order() const;
    bool operator==(const Representation&) const = default;

private:
    std::vector<Piece> pieces_;
    Index columns_ = 0;
};

struct SparseEntry {
    Index row = 0, column = 0;
    double value = 0;
};

// Generator about axis 0, 1, 2 on the columns as they lie; entries sorted by row.
[[nodiscard]] std::vector<SparseEntry> generator(const Representation& representation, int axis);

} // namespace tether::symmetry
