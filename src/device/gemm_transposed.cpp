// Sums over rows of products of two factors: register blocks outside, rows inside.
#include "tether/device/gemm.hpp"

#include "src/device/register_block.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <utility>

namespace tether::device {
namespace {

// Earlier sums that the sum of a lane completes: `count` register blocks, `stride` apart, lowest level first.
template <class T>
struct Subtrees {
    const T* sums = nullptr;
    Index count = 0, stride = 0;
};

// One register block of the transposed product, out[i, 0..panel) over i < Rows, of some rows of one
// lane: row by row, all components of a row before the next row. `from` (may be null) is the start. The
// subtrees are added while the block is still in registers.
template <class T, int Rows, int Vectors>
void transposed_block(const T* a, Index row_stride, Index component_stride, Index components, Index rows,
                      const T* panel, Index panel_stride, Index panel_component, const T* from,
                      Subtrees<T> subtrees, T* out, Index out_stride) {
    Tile<T, Rows, Vectors> tile{};
    if (from != nullptr) {
#pragma GCC unroll 16
        for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
            for (int j = 0; j < Vectors; ++j) {
                tile.v[i][j] = load(from + i * out_stride + j * width<T>);
            }
        }
    }
    if (components == 1) {
        accumulate_tile(tile, a, Index{1}, row_stride, rows, panel, panel_stride);
    } else {
        for (Index r = 0; r < rows; ++r) {
            accumulate_tile(tile, a + r * row_stride, Index{1}, component_stride, components,
                            panel + r * panel_stride, panel_component);
        }
    }
    for (Index level = 0; level < subtrees.count; ++level) {
        const T* sum = subtrees.sums + level * subtrees.stride;
#pragma GCC unroll 16
        for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
            for (int j = 0; j < Vectors; ++j) {
                tile.v[i][j] = load(sum + (i * Vectors + j) * width<T>) + tile.v[i][j];
            }
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < Vectors; ++j) {
            store(out + i * out_stride + j * width<T>, tile.v[i][j]);
        }
    }
}

template <class T, int Vectors, int... Rows>
constexpr auto transposed_blocks(std::integer_sequence<int, Rows...>) {
    using Function = void (*)(const T*, Index, Index, Index, Index, const T*, Index, Index, const T*,
                              Subtrees<T>, T*, Index);
    return std::array<Function, sizeof...(Rows)>{&transposed_block<T, Rows + 1, Vectors>...};
}

// Copies the panel's columns of rows [begin, begin + rows) side by side: components, then rows.
template <class T, int Vectors>
void pack_rows(const Factor<T>& b, Index begin, Index rows, Index components, Index first, Index columns,
               T* packed) {
    constexpr Index panel_width = Vectors * width<T>;
    for (Index m = 0; m < components; ++m) {
        for (Index r = 0; r < rows; ++r) {
            const T* from = b.data + (begin + r) * b.row_stride + m * b.component_stride + first;
            T* to = packed + (m * rows + r) * panel_width;
            if (columns == panel_width) {
#pragma GCC unroll 4
                for (int j = 0; j < Vectors; ++j) {
                    store(to + j * width<T>, load(from + j * width<T>));
                }
            } else {
                std::copy(from, from + columns, to);
                std::fill(to + columns, to + panel_width, T(0));
            }
        }
    }
}

// All rows of the result for one panel of columns. Register blocks outside, lanes inside: the partial
// sums of the tree are a few register blocks and stay in the first-level cache.
template <class T, int Vectors>
void transposed_panel(std::span<const Index> lane_begin, Index components, const Factor<T>& a,
                      const Factor<T>& b, Index first, T* c, Index c_stride, bool accumulate,
                      std::vector<T>& scratch) {
    static constexpr auto blocks = transposed_blocks<T, Vectors>(all_rows);
    constexpr Index panel_width = Vectors * width<T>;
    constexpr Index area = block_rows * panel_width;
    const Index columns = std::min<Index>(panel_width, b.columns - first);
    const Index lanes = static_cast<Index>(lane_begin.size()) - 1;
    Index levels = 1;
    while ((Index{1} << (levels - 1)) < lanes) {
        ++levels;
    }
    const Index rows_begin = lane_begin.front();
    // Copying a panel pays when many register blocks read it; a partial panel must be padded.
    const bool in_place = columns == panel_width && a.columns <= 4 * block_rows;
    const Index packed_rows = in_place ? 0 : (lane_begin.back() - rows_begin) * components;
    const auto needed = static_cast<std::size_t>(packed_rows * panel_width + (levels + 1) * area);
    if (scratch.size() < needed) {
        scratch.resize(needed);
    }
    T* level_sum = scratch.data();
    T* current = level_sum + levels * area;
    T* packed = current + area;
    for (Index l = 0; l < lanes && !in_place; ++l) {
        const Index begin = lane_begin[static_cast<std::size_t>(l)];
        pack_rows<T, Vectors>(b, begin, lane_begin[static_cast<std::size_t>(l + 1)] - begin, components,
                              first, columns, packed + (begin - rows_begin) * components * panel_width);
    }
    const bool whole = columns == panel_width && !accumulate;
    for (Index i = 0; i < a.columns;) {
        const Index count = next_block(a.columns - i);
        const auto block = blocks[static_cast<std::size_t>(count - 1)];
        for (Index l = 0; l < lanes; ++l) {
            const Index begin = lane_begin[static_cast<std::size_t>(l)];
            const Index rows = lane_begin[static_cast<std::size_t>(l + 1)] - begin;
            const T* left = a.data + begin * a.row_stride + i;
            // Binary counter: lane l completes as many subtrees as l has trailing one bits.
            const Subtrees<T> complete{level_sum, std::countr_one(static_cast<std::uint64_t>(l)), area};
            T* out = level_sum + complete.count * area;
            Index out_stride = panel_width;
            if (l + 1 == lanes) {
                out = whole ? c + i * c_stride + first : current;
                out_stride = whole ? c_stride : panel_width;
            }
            if (in_place) {
                block(left, a.row_stride, a.component_stride, components, rows,
                      b.data + begin * b.row_stride + first, b.row_stride, b.component_stride, nullptr,
                      complete, out, out_stride);
            } else {
                block(left, a.row_stride, a.component_stride, components, rows,
                      packed + (begin - rows_begin) * components * panel_width, panel_width,
                      rows * panel_width, nullptr, complete, out, out_stride);
            }
        }
        for (Index k = 0; k < count && !whole; ++k) {
            const T* from = current + k * panel_width;
            T* to = c + (i + k) * c_stride + first;
            if (accumulate) {
                for (Index j = 0; j < columns; ++j) {
                    to[j] += from[j];
                }
            } else {
                std::copy(from, from + columns, to);
            }
        }
        i += count;
    }
}

template <class T, int Vectors>
void accumulate_panel(Index rows, Index components, const Factor<T>& a, const Factor<T>& b, Index first, T* c,
                      Index c_stride, std::vector<T>& scratch) {
    static constexpr auto blocks = transposed_blocks<T, Vectors>(all_rows);
    constexpr Index panel_width = Vectors * width<T>;
    const Index columns = std::min<Index>(panel_width, b.columns - first);
    const T* panel = b.data + first;
    Index panel_stride = b.row_stride;
    Index panel_component = b.component_stride;
    if (columns < panel_width) { // must be padded
        const auto needed = static_cast<std::size_t>(rows * components * panel_width);
        if (scratch.size() < needed) {
            scratch.resize(needed);
        }
        pack_rows<T, Vectors>(b, 0, rows, components, first, columns, scratch.data());
        panel = scratch.data();
        panel_stride = panel_width;
        panel_component = rows * panel_width;
    }
    for (Index i = 0; i < a.columns;) {
        const Index count = next_block(a.columns - i);
        T* to = c + i * c_stride + first;
        blocks[static_cast<std::size_t>(count - 1)](a.data + i, a.row_stride, a.component_stride, components,
                                                    rows, panel, panel_stride, panel_component, to, {}, to,
                                                    c_stride);
        i += count;
    }
}

} // namespace

template <class T>
Index padded_columns(Index n) {
    return (n + width<T> - 1) / width<T> * width<T>;
}

template <class T>
void accumulate_transposed(Index rows, Index components, Factor<T> a, Factor<T> b, T* c,
                           std::vector<T>& scratch) {
    const Index stride = padded_columns<T>(b.columns);
    for (Index first = 0; first < b.columns;) {
        if (narrow<T>(first, b.columns)) {
            accumulate_panel<T, 1>(rows, components, a, b, first, c, stride, scratch);
            first += width<T>;
        } else {
            accumulate_panel<T, 2>(rows, components, a, b, first, c, stride, scratch);
            first += 2 * width<T>;
        }
    }
}

template <class T>
void multiply_transposed(std::span<const Index> lane_begin, Index components, Factor<T> a, Factor<T> b, T* c,
                         Index c_stride, bool accumulate, std::vector<T>& scratch) {
    for (Index first = 0; first < b.columns;) {
        if (narrow<T>(first, b.columns)) {
            transposed_panel<T, 1>(lane_begin, components, a, b, first, c, c_stride, accumulate, scratch);
            first += width<T>;
        } else {
            transposed_panel<T, 2>(lane_begin, components, a, b, first, c, c_stride, accumulate, scratch);
            first += 2 * width<T>;
        }
    }
}

#define TETHER_INSTANTIATE(T)                                                                                \
    template void multiply_transposed<T>(std::span<const Index>, Index, Factor<T>, Factor<T>, T*, Index,     \
                                         bool, std::vector<T>&);                                             \
    template Index padded_columns<T>(Index);                                                                 \
    template void accumulate_transposed<T>(Index, Index, Factor<T>, Factor<T>, T*, std::vector<T>&);
TETHER_INSTANTIATE(float)
TETHER_INSTANTIATE(double)

} // namespace tether::device
