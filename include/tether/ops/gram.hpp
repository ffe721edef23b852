// Second moments of rows: with x the inputs side by side, the sums over all rows of  x xᵀ, x and 1, by
// lanes and tree. One symmetric product: only blocks on and below the diagonal are computed and kept.
#pragma once

#include "tether/program/builder.hpp"

#include <vector>

namespace tether::ops {

// How the entries lie in the one row that gram() gives: blocks, then the sums of x, then the number of rows.
class GramLayout {
public:
    explicit GramLayout(const std::vector<Index>& widths); // columns of each input
    struct Block {
        Index row, column, rows, columns; // rows of the block lie row-major from `offset`
        Index offset;
        int row_input, column_input; // and the first row and column within these
        Index row_in_input, column_in_input;
    };
    [[nodiscard]] const std::vector<Block>& blocks() const { return blocks_; }
    [[nodiscard]] Index width() const { return width_; } // of x
    [[nodiscard]] Index size() const { return products_ + width_ + 1; }
    [[nodiscard]] Index sum_offset() const { return products_; }
    [[nodiscard]] Index count_offset() const { return products_ + width_; }
    // The whole matrix [width x width] from the entries.
    template <class T>
    void expand(const T* entries, T* matrix) const;

private:
    std::vector<Block> blocks_;
    Index width_ = 0, products_ = 0;
};

// [1 x GramLayout::size()] of inputs of the same rows. Not differentiated: inputs are taken as constants.
Value gram(Builder& b, const std::vector<Value>& inputs);

} // namespace tether::ops
