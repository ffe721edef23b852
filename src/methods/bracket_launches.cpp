// The penalty of bracket.hpp as launches for a device (kernels/bracket.hpp): six, whatever the number of
// sites.
#include "tether/kernels/bracket.hpp"

#include "tether/methods/bracket.hpp"

#include <algorithm>

namespace tether::methods {
namespace {

using symmetry::SparseEntry;

// Entries by rows, or by columns.
template <class T>
kernels::SparseLines<T> lines(DeviceMemory& memory, const std::vector<SparseEntry>& entries, Index count,
                              bool by_rows) {
    std::vector<std::int32_t> begin{0};
    std::vector<kernels::SparseLine<T>> sorted;
    for (Index line = 0; line < count; ++line) {
        for (const SparseEntry& e : entries) {
            if ((by_rows ? e.row : e.column) == line) {
                sorted.push_back(
                    {static_cast<std::int32_t>(by_rows ? e.column : e.row), static_cast<T>(e.value)});
            }
        }
        begin.push_back(static_cast<std::int32_t>(sorted.size()));
    }
    return {memory.constants(std::span<const std::int32_t>(begin)),
            memory.constants(std::span<const kernels::SparseLine<T>>(sorted))};
}

kernels::MomentLayout layout_on_device(DeviceMemory& memory, const ops::GramLayout& layout) {
    std::vector<Index> parts; // first columns
    std::vector<Index> inputs(1, 0);
    for (const ops::GramLayout::Block& block : layout.blocks()) {
        if (parts.empty() || parts.back() != block.column) {
            parts.push_back(block.column);
        }
        inputs.resize(std::max(inputs.size(), static_cast<std::size_t>(block.row_input) + 1));
        inputs[static_cast<std::size_t>(block.row_input)] = block.row - block.row_in_input;
    }
    std::vector<kernels::MomentBlock> blocks(parts.size() * inputs.size());
    for (const ops::GramLayout::Block& block : layout.blocks()) {
        const auto part = static_cast<std::size_t>(std::ranges::find(parts, block.column) - parts.begin());
        blocks[part * inputs.size() + static_cast<std::size_t>(block.row_input)] = {
            static_cast<std::int32_t>(block.row), static_cast<std::int32_t>(block.column),
            static_cast<std::int32_t>(block.columns), static_cast<std::int32_t>(block.offset)};
    }
    const auto numbers = [&](const std::vector<Index>& begin) {
        std::vector<std::int32_t> of;
        for (Index k = 0; k < layout.width(); ++k) {
            of.push_back(static_cast<std::int32_t>(std::ranges::upper_bound(begin, k) - begin.begin() - 1));
        }
        return memory.constants(std::span<const std::int32_t>(of));
    };
    return {numbers(parts),
            numbers(inputs),
            memory.constants(std::span<const kernels::MomentBlock>(blocks)),
            static_cast<Index>(inputs.size()),
            layout.sum_offset(),
            layout.count_offset()};
}

} // namespace

template <class T>
void record_bracket_penalty(DeviceRun<T>& r, double kappa, const T* gate,
                            std::span<const BracketTerm<T>> terms, T* penalty) {
    DeviceMemory& memory = *r.memory;
    std::vector<kernels::BracketMap<T>> maps;
    for (const BracketTerm<T>& term : terms) {
        const BracketSite& site = *term.site;
        const Index in = site.in();
        const Index out = site.out();
        kernels::BracketMap<T> map{.weight = term.weight,
                                   .bias = term.bias,
                                   .moments = term.moments,
                                   .weight_gradient = term.weight_gradient,
                                   .bias_gradient = term.bias_gradient,
                                   .in = in,
                                   .out = out,
                                   .constant = term.bias != nullptr && site.bias_in_bracket(),
                                   .layout = layout_on_device(memory, site.layout()),
                                   .in_columns = {},
                                   .in_rows = {},
                                   .out_rows = {},
                                   .out_columns = {},
                                   .gram = memory.scratch<T>(in * in),
                                   .bracket = memory.scratch<T>(3 * out * in),
                                   .product = memory.scratch<T>(4 * out * in),
                                   .slope = memory.scratch<T>(4 * out)};
        for (std::size_t a = 0; a < 3; ++a) {
            const auto [input, output] = site.entries(a);
            map.in_columns[a] = lines<T>(memory, input, in, false);
            map.in_rows[a] = lines<T>(memory, input, in, true);
            map.out_rows[a] = lines<T>(memory, output, out, true);
            map.out_columns[a] = lines<T>(memory, output, out, false);
        }
        maps.push_back(map);
    }
    const auto* table = memory.constants(std::span<const kernels::BracketMap<T>>(maps));
    // Of the sites side by side, and the number of all items.
    const auto side_by_side = [&](auto&& items) {
        std::vector<Index> first;
        Index total = 0;
        for (const auto& map : maps) {
            first.push_back(total);
            total += items(map.in, map.out);
        }
        return std::pair(kernels::BracketMaps<T>{table, memory.constants(std::span<const Index>(first)),
                                                 static_cast<Index>(maps.size())},
                         total);
    };
    const auto [grams, gram_items] = side_by_side([](Index in, Index) { return in * in; });
    const auto [brackets, bracket_items] = side_by_side([](Index in, Index out) { return 3 * out * in; });
    const auto [products, product_items] = side_by_side([](Index in, Index out) { return 4 * out * in; });
    const auto [rows, row_items] = side_by_side([](Index, Index out) { return 4 * out; });
    const auto [numbers, number_items] = side_by_side([](Index in, Index out) { return out * in + out; });
    auto* sums = memory.scratch<double>(row_items);
    T* factors = memory.scratch<T>(2);
    r.list->each(gram_items, kernels::BracketGram<T>{grams});
    r.list->each(bracket_items, kernels::BracketNumbers<T>{brackets});
    r.list->each(product_items, kernels::BracketProducts<T>{products});
    r.list->team(row_items, kernels::BracketRowSums<T>{rows, sums});
    r.list->team(1, kernels::BracketTotals<T>{rows, row_items, sums, kappa, gate, factors, penalty});
    r.list->each(number_items, kernels::BracketGradients<T>{numbers, factors});
}

template void record_bracket_penalty<float>(DeviceRun<float>&, double, const float*,
                                            std::span<const BracketTerm<float>>, float*);
template void record_bracket_penalty<double>(DeviceRun<double>&, double, const double*,
                                             std::span<const BracketTerm<double>>, double*);

} // namespace tether::methods
