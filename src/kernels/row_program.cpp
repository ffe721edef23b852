#include "tether/kernels/row_program.hpp"

#include "functors/row_program.hpp"

#include "tether/core/error.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>

namespace tether::kernels {
namespace {

template <class T>
struct Chunk {
    RowFetch<T> fetch;
    bool first = false, last = false; // of its tile
    RowFinish<T> finish;              // of the last one
};
template <class T>
using TileChunks = std::vector<Chunk<T>>;

// The tiles of a product for the rows of one team.
template <class T>
void add_tiles(const RowProduct<T>& product, Index block_rows, std::int32_t first_then,
               std::vector<TileChunks<T>>& to) {
    using Tile = RowTile<T>;
    // Without an axis a value's rows are those of the program.
    const Index times = product.rows.axis_rows == nullptr ? 1 : product.rows.times;
    for (Index row = 0; row < block_rows * times; row += Tile::rows) {
        for (const ProductPiece& piece : product.pieces) {
            for (Index n = 0; n < piece.n; n += Tile::columns) {
                const auto columns = static_cast<std::int32_t>(std::min<Index>(Tile::columns, piece.n - n));
                TileChunks<T> chunks;
                for (Index t = piece.first_term; t < piece.last_term; ++t) {
                    const ProductTermOnDevice<T>& term = product.terms[static_cast<std::size_t>(t)];
                    for (Index k = 0; k < term.k; k += Tile::depth) {
                        Chunk<T>& chunk = chunks.emplace_back();
                        chunk.fetch = {term.x + k,
                                       term.weight + k * term.k_stride + (piece.first_n + n) * term.n_stride,
                                       term.x_stride,
                                       static_cast<std::int32_t>(term.k_stride),
                                       static_cast<std::int32_t>(term.n_stride),
                                       static_cast<std::int32_t>(std::min<Index>(Tile::depth, term.k - k)),
                                       columns,
                                       static_cast<std::int32_t>(times),
                                       static_cast<std::int32_t>(row)};
                    }
                }
                if (chunks.empty()) { // a sum of nothing
                    chunks.emplace_back();
                }
                chunks.front().first = true;
                chunks.back().last = true;
                chunks.back().finish = {product.out,
                                        piece.bias < 0 ? nullptr : product.bias + piece.bias + n,
                                        product.out_stride,
                                        piece.column + n,
                                        columns,
                                        static_cast<std::int32_t>(times),
                                        static_cast<std::int32_t>(row),
                                        first_then,
                                        static_cast<std::int32_t>(product.then.size())};
                to.push_back(std::move(chunks));
            }
        }
    }
}

// The phases in which a part makes its tiles: what is fetched in one is added two phases later (where it is
// all there is, in the next one), and a tile finished in the phase after its last sum.
template <class T>
void add_phases(const std::vector<const TileChunks<T>*>& tiles, std::vector<RowStep>& to) {
    std::vector<std::optional<Chunk<T>>> chunks;
    for (const TileChunks<T>* tile : tiles) {
        if (tile->size() == 1 && !chunks.empty()) {
            chunks.emplace_back(); // the sums of the tile before are still read while this one's would be put
                                   // down
        }
        chunks.insert(chunks.end(), tile->begin(), tile->end());
    }
    const std::size_t count = chunks.size();
    const std::size_t ahead = count == 1 ? 1 : 2;
    for (std::size_t p = 0; count > 0 && p < count + ahead + 1; ++p) {
        RowProductPhase<T> phase;
        if (p < count && chunks[p]) {
            phase.fetch = chunks[p]->fetch;
        }
        phase.fetch_to = static_cast<std::int32_t>(p % RowTile<T>::places);
        phase.waits_for_all = ahead == 1 ? 1 : 0;
        if (p >= ahead && p - ahead < count && chunks[p - ahead]) {
            const Chunk<T>& chunk = *chunks[p - ahead];
            phase.add_from = static_cast<std::int32_t>((p - ahead) % RowTile<T>::places);
            phase.adds = chunk.fetch.k;
            phase.begins = chunk.first ? 1 : 0;
            phase.deposits = chunk.last ? 1 : 0;
        }
        if (p > ahead && chunks[p - ahead - 1] && chunks[p - ahead - 1]->last) {
            phase.finish = chunks[p - ahead - 1]->finish;
        }
        RowStep& step = to.emplace_back();
        step.kind = RowStep::product;
        static_assert(sizeof phase <= sizeof step.functor);
        std::memcpy(step.functor, &phase, sizeof phase);
    }
}

device::LaunchSteps steps_of(const RowTables& tables, int parts) {
    device::LaunchSteps steps{parts > 1 ? tables.meetings + 1 : 1, 0, 0};
    for (std::size_t q = 0; q < static_cast<std::size_t>(parts); ++q) {
        const auto of_part = std::span(tables.steps)
                                 .subspan(static_cast<std::size_t>(tables.begin[q]),
                                          static_cast<std::size_t>(tables.begin[q + 1] - tables.begin[q]));
        steps.phases = std::max(steps.phases, static_cast<long>(of_part.size()));
        steps.product_phases = std::max<long>(steps.product_phases,
                                              std::ranges::count(of_part, RowStep::product, &RowStep::kind));
    }
    return steps;
}

} // namespace

template <class T>
RowTables row_tables(const std::vector<RowLevel<T>>& levels, Index block_rows, int parts) {
    check(parts >= 1 && parts <= device::most_parts, "a row program in {} parts, expected 1 to {}", parts,
          device::most_parts);
    RowTables tables;
    tables.meetings = static_cast<int>(std::ranges::count(levels, true, &RowLevel<T>::meet));
    std::vector<std::vector<RowStep>> of_part(static_cast<std::size_t>(parts));
    for (std::size_t l = 0; l < levels.size(); ++l) {
        const RowLevel<T>& level = levels[l];
        std::vector<TileChunks<T>> tiles;
        for (const RowProduct<T>& product : level.products) {
            add_tiles(product, block_rows, static_cast<std::int32_t>(tables.then.size()), tiles);
            tables.then.insert(tables.then.end(), product.then.begin(), product.then.end());
            tables.has_products = true;
        }
        // The longest first, each to the part that has least to do.
        std::ranges::stable_sort(tiles, std::ranges::greater{}, &TileChunks<T>::size);
        std::vector<std::vector<const TileChunks<T>*>> dealt(of_part.size());
        std::vector<std::size_t> load(of_part.size(), 0);
        for (const TileChunks<T>& tile : tiles) {
            const auto q = static_cast<std::size_t>(std::ranges::min_element(load) - load.begin());
            dealt[q].push_back(&tile);
            load[q] += tile.size() + 1;
        }
        for (std::size_t q = 0; q < of_part.size(); ++q) {
            std::vector<RowStep>& steps = of_part[q];
            const std::size_t before = steps.size();
            steps.insert(steps.end(), level.steps.begin(), level.steps.end());
            add_phases<T>(dealt[q], steps);
            if (parts > 1 && level.meet) {
                if (steps.size() == before) {
                    steps.emplace_back(); // nothing to do but to meet the others
                }
                steps.back().meets = 1;
            }
        }
    }
    for (std::size_t q = 0; q < of_part.size(); ++q) {
        tables.steps.insert(tables.steps.end(), of_part[q].begin(), of_part[q].end());
        tables.begin[q + 1] = static_cast<std::int32_t>(tables.steps.size());
    }
    return tables;
}

template <class T>
void append_row_program(device::LaunchList& list, const RowProgramShape& shape, const RowTables& tables,
                        const RowStep* steps, const RowStep* then) {
    const Index blocks = (shape.capacity + shape.block_rows - 1) / shape.block_rows;
    const auto append = [&]<bool products>() {
        RowProgram<T, products> program{shape.rows, shape.block_rows, steps, then, shape.parts, {}};
        std::ranges::copy(tables.begin, program.begin);
        list.team(blocks, program);
        list.mark_steps(steps_of(tables, shape.parts));
    };
    if (tables.has_products) {
        append.template operator()<true>();
    } else {
        append.template operator()<false>();
    }
}

template RowTables row_tables<float>(const std::vector<RowLevel<float>>&, Index, int);
template RowTables row_tables<double>(const std::vector<RowLevel<double>>&, Index, int);
template void append_row_program<float>(device::LaunchList&, const RowProgramShape&, const RowTables&,
                                        const RowStep*, const RowStep*);
template void append_row_program<double>(device::LaunchList&, const RowProgramShape&, const RowTables&,
                                         const RowStep*, const RowStep*);

} // namespace tether::kernels
