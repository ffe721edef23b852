// Work on rows that depends on nothing but the same rows, as one launch: teams of blocks take a few rows each
// through products, row-wise and elementwise steps, level by level. A level is what may be done at once; what
// it wrote the next one finds in memory, after a barrier. A launch of its own for every step
// would cost more than the step where batches are small.
//
// A team has parts: blocks of 128 threads that can meet (clusters, where a device has them). Each has rows of
// its own for what goes by rows, and needs none of the others there. A product is made in tiles of 16 rows x
// 32 columns, dealt out over the parts, which meet before and after it. The four warps of a block share the
// inner dimension of a tile, so that each number is ((s0 + s1) + (s2 + s3)) with s_w one chain of fused
// multiply-adds over the w-th quarter of every 64 terms (16 in double), in whole eights: the same whatever
// the number of rows, parts or devices. Operands travel to shared memory two steps ahead
// (device/async_copy.hpp).
#pragma once

#include "tether/kernels/product.hpp"
#include "tether/kernels/row_steps.hpp"

#include <array>
#include <vector>

namespace tether::kernels {

// A product as product.hpp has it, with its tables still on the host.
template <class T>
struct RowProduct {
    RowCount rows;
    std::vector<ProductPiece> pieces; // of up to any number of columns
    std::vector<ProductTermOnDevice<T>> terms;
    const T* bias = nullptr;
    T* out = nullptr;
    Index out_stride = 0;
    std::vector<RowStep> then = {}; // elementwise over the result
};

// Steps may need those before them of the same level number by number, if both are elementwise over values of
// the same shape.
template <class T>
struct RowLevel {
    std::vector<RowStep> steps;
    std::vector<RowProduct<T>> products;
    bool meet = false; // the parts of a team, after it: a product has made, or is to read, what follows needs
};

// A program in the order in which each part of a team goes through it.
struct RowTables {
    std::vector<RowStep> steps; // of part q: [begin[q], begin[q + 1])
    std::array<std::int32_t, device::most_parts + 1> begin{};
    std::vector<RowStep> then; // what products refer to
    bool has_products = false;
    int meetings = 0;
};

// `block_rows`: rows of the axis that a team takes.
template <class T>
[[nodiscard]] RowTables row_tables(const std::vector<RowLevel<T>>& levels, Index block_rows, int parts);

struct RowProgramShape {
    RowCount rows;
    Index capacity = 0; // of rows
    Index block_rows = 1;
    int parts = 1;
};

// Appends the launch; the tables' steps lie at `steps` and `then` in device memory.
template <class T>
void append_row_program(device::LaunchList& list, const RowProgramShape& shape, const RowTables& tables,
                        const RowStep* steps, const RowStep* then);

} // namespace tether::kernels
