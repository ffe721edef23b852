// Register-blocked products: block_rows x (2 vectors) of the result stay in registers while k runs.
// The right-hand panel (k x 2 vectors, contiguous) stays in the first-level cache while the row
// blocks stream past it. Compiled with contraction on, so that every multiply-add is fused.
#include "tether/device/gemm.hpp"

#include "src/device/vector.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <utility>

namespace tether::device {
namespace {

template <class T, int Rows, int Vectors>
struct Tile {
    Vector<T> v[Rows][Vectors];
};

// tile += a (Rows x k, element (i, p) at a[i * row_stride + p * k_stride]) times panel.
template <class T, int Rows, int Vectors>
[[gnu::always_inline]] inline void accumulate_tile(Tile<T, Rows, Vectors>& tile, const T* a, Index row_stride,
                                                   Index k_stride, Index k, const T* panel,
                                                   Index panel_stride) {
    for (Index p = 0; p < k; ++p) {
        Vector<T> right[Vectors];
#pragma GCC unroll 4
        for (int j = 0; j < Vectors; ++j) {
            right[j] = load(panel + p * panel_stride + j * width<T>);
        }
#pragma GCC unroll 16
        for (int i = 0; i < Rows; ++i) {
            const T left = a[i * row_stride + p * k_stride];
#pragma GCC unroll 4
            for (int j = 0; j < Vectors; ++j) {
                tile.v[i][j] += left * right[j];
            }
        }
    }
}

// Rows x (Vectors * width) of c; `columns` of them exist.
template <class T, int Rows, int Vectors>
void product_block(std::span<const ProductTerm<T>> terms, const Index* panel_offset, Index row, Index columns,
                   T* c, Index c_stride, const T* bias, bool accumulate) {
    constexpr Index panel_width = Vectors * width<T>;
    Tile<T, Rows, Vectors> tile;
    const bool whole = columns == panel_width;
    if (accumulate || bias != nullptr) {
        T edge[panel_width] = {};
#pragma GCC unroll 16
        for (int i = 0; i < Rows; ++i) {
            const T* from = accumulate ? c + i * c_stride : bias;
            if (!whole) {
                std::copy(from, from + columns, edge);
                from = edge;
            }
#pragma GCC unroll 4
            for (int j = 0; j < Vectors; ++j) {
                tile.v[i][j] = load(from + j * width<T>);
            }
        }
    } else {
#pragma GCC unroll 16
        for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
            for (int j = 0; j < Vectors; ++j) {
                tile.v[i][j] = Vector<T>{};
            }
        }
    }
    for (std::size_t t = 0; t < terms.size(); ++t) {
        const ProductTerm<T>& term = terms[t];
        accumulate_tile(tile, term.a + row * term.row_stride, term.row_stride, Index{1}, term.k,
                        term.packed + panel_offset[t], panel_width);
    }
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
        if (whole) {
#pragma GCC unroll 4
            for (int j = 0; j < Vectors; ++j) {
                store(c + i * c_stride + j * width<T>, tile.v[i][j]);
            }
        } else {
            T edge[panel_width];
#pragma GCC unroll 4
            for (int j = 0; j < Vectors; ++j) {
                store(edge + j * width<T>, tile.v[i][j]);
            }
            std::copy(edge, edge + columns, c + i * c_stride);
        }
    }
}

template <class T, int Vectors, int... Rows>
constexpr auto product_blocks(std::integer_sequence<int, Rows...>) {
    using Function =
        void (*)(std::span<const ProductTerm<T>>, const Index*, Index, Index, T*, Index, const T*, bool);
    return std::array<Function, sizeof...(Rows)>{&product_block<T, Rows + 1, Vectors>...};
}

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

constexpr std::make_integer_sequence<int, block_rows> all_rows{};

// Rows of the next register block: all blocks nearly equal, never a sliver at the end.
constexpr Index next_block(Index left) {
    const Index blocks = (left + block_rows - 1) / block_rows;
    return (left + blocks - 1) / blocks;
}

template <class T, int Vectors>
void multiply_panel(Index rows, std::span<const ProductTerm<T>> terms, const Index* panel_offset,
                    Index columns, T* c, Index c_stride, const T* bias, bool accumulate) {
    static constexpr auto blocks = product_blocks<T, Vectors>(all_rows);
    for (Index row = 0; row < rows;) {
        const Index count = next_block(rows - row);
        blocks[static_cast<std::size_t>(count - 1)](terms, panel_offset, row, columns, c + row * c_stride,
                                                    c_stride, bias, accumulate);
        row += count;
    }
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

// Widest panels first; a remainder of at most one vector takes a panel of one vector.
template <class T>
bool narrow(Index first, Index n) {
    return n - first <= width<T>;
}

} // namespace

template <class T>
Index packed_size(Index k, Index n) {
    return k * ((n + width<T> - 1) / width<T>)*width<T>;
}

template <class T>
void pack(const T* w, Index k_stride, Index n_stride, Index k, Index n, T* packed) {
    for (Index first = 0; first < n;) {
        const Index panel = narrow<T>(first, n) ? width<T> : 2 * width<T>;
        const Index columns = std::min(panel, n - first);
        if (n_stride == 1) {
            for (Index i = 0; i < k; ++i) {
                const T* from = w + i * k_stride + first;
                std::copy(from, from + columns, packed + i * panel);
                std::fill(packed + i * panel + columns, packed + (i + 1) * panel, T(0));
            }
        } else {
            // Columns of the panel are rows of w: read whole cache lines of each in turn.
            constexpr Index stripe = 64 / static_cast<Index>(sizeof(T));
            for (Index i0 = 0; i0 < k; i0 += stripe) {
                const Index i1 = std::min(i0 + stripe, k);
                for (Index j = 0; j < panel; ++j) {
                    for (Index i = i0; i < i1; ++i) {
                        packed[i * panel + j] = j < columns ? w[i * k_stride + (first + j) * n_stride] : T(0);
                    }
                }
            }
        }
        packed += k * panel;
        first += columns;
    }
}

template <class T>
void multiply(Index rows, std::span<const ProductTerm<T>> terms, Index n, T* c, Index c_stride, const T* bias,
              bool accumulate) {
    constexpr std::size_t most_terms = 16;
    Index offset[most_terms] = {};
    for (Index first = 0; first < n;) {
        const Index panel = narrow<T>(first, n) ? width<T> : 2 * width<T>;
        const Index columns = std::min(panel, n - first);
        const T* panel_bias = bias != nullptr ? bias + first : nullptr;
        // More terms than fit are added in further passes: the chain of additions is the same.
        for (std::size_t t = 0; t < std::max<std::size_t>(terms.size(), 1); t += most_terms) {
            const auto some = terms.subspan(t, std::min(most_terms, terms.size() - t));
            for (std::size_t s = 0; s < some.size(); ++s) {
                offset[s] = first * some[s].k;
            }
            if (panel == width<T>) {
                multiply_panel<T, 1>(rows, some, offset, columns, c + first, c_stride, panel_bias,
                                     accumulate || t > 0);
            } else {
                multiply_panel<T, 2>(rows, some, offset, columns, c + first, c_stride, panel_bias,
                                     accumulate || t > 0);
            }
        }
        first += columns;
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
    template Index packed_size<T>(Index, Index);                                                             \
    template void pack<T>(const T*, Index, Index, Index, Index, T*);                                         \
    template void multiply<T>(Index, std::span<const ProductTerm<T>>, Index, T*, Index, const T*, bool);     \
    template void multiply_transposed<T>(std::span<const Index>, Index, Factor<T>, Factor<T>, T*, Index,     \
                                         bool, std::vector<T>&);                                             \
    template Index padded_columns<T>(Index);                                                                 \
    template void accumulate_transposed<T>(Index, Index, Factor<T>, Factor<T>, T*, std::vector<T>&);
TETHER_INSTANTIATE(float)
TETHER_INSTANTIATE(double)

} // namespace tether::device
