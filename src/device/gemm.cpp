// Rows times packed weights. The right-hand panel (k x 2 vectors, contiguous) stays in the first-level cache
// while the row blocks stream past it.
#include "tether/device/gemm.hpp"

#include "src/device/register_block.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace tether::device {
namespace {

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

#define TETHER_INSTANTIATE(T)                                                                                \
    template Index packed_size<T>(Index, Index);                                                             \
    template void pack<T>(const T*, Index, Index, Index, Index, T*);                                         \
    template void multiply<T>(Index, std::span<const ProductTerm<T>>, Index, T*, Index, const T*, bool);
TETHER_INSTANTIATE(float)
TETHER_INSTANTIATE(double)

} // namespace tether::device
