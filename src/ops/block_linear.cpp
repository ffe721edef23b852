#include "tether/ops/block_linear.hpp"

#include "src/ops/weight_gradient.hpp"
#include "tether/core/error.hpp"
#include "tether/device/gemm.hpp"
#include "tether/kernels/block_product.hpp"
#include "tether/kernels/elementwise.hpp"
#include "tether/ops/elementwise.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

namespace tether::ops {
namespace {

constexpr std::size_t most_terms = 128;

class BlockLinearOp : public OpOf<BlockLinearOp> {
public:
    // `packs` holds, per block and term, the number of the packed weights in the program.
    BlockLinearOp(BlockLinear map, std::vector<std::vector<int>> packs, bool biased)
        : map_(std::move(map)), packs_(std::move(packs)), biased_(biased) {
        covered_.assign(static_cast<std::size_t>(map_.columns), false);
        for (const Block& block : map_.blocks) {
            for (Index m = 0; m < block.components; ++m) {
                for (Index j = 0; j < block.n; ++j) {
                    covered_[static_cast<std::size_t>(block.column + m * block.component_stride + j)] = true;
                }
            }
            for (const BlockTerm& term : block.terms) {
                weights_ += term.weight.k * term.weight.n;
            }
        }
        covers_all_ = std::ranges::all_of(covered_, [](bool c) { return c; });
    }
    [[nodiscard]] std::string_view name() const override { return "block_linear"; }
    // Large weights would be read again for every tile; they go through more rows at a time.
    [[nodiscard]] Tiling tiling() const override {
        return weights_ <= most_tiled_weights ? Tiling::rows : Tiling::whole;
    }

    template <class T>
    void execute(Run<T>& r) const {
        const Index rows = r.out_rows(0);
        const Index columns = r.out_columns(0);
        const auto bias_at = r.inputs.size() - 1;
        const T* bias = biased_ ? r.inputs[bias_at].data : nullptr;
        const Index bias_columns = biased_ ? r.inputs[bias_at].columns : 0;
        std::array<device::ProductTerm<T>, most_terms> terms;
        for (Index first = 0; first < rows; first += chunk_rows) {
            const Index count = std::min(chunk_rows, rows - first);
            T* out = r.out(0) + first * columns;
            if (!covers_all_) {
                std::fill(out, out + count * columns, T(0));
            }
            for (std::size_t i = 0; i < map_.blocks.size(); ++i) {
                const Block& block = map_.blocks[i];
                const bool has_bias = bias != nullptr && block.column < bias_columns;
                for (Index m = 0; m < block.components; ++m) {
                    for (std::size_t t = 0; t < block.terms.size(); ++t) {
                        const BlockTerm& term = block.terms[t];
                        const auto& x = r.inputs[static_cast<std::size_t>(term.input)];
                        terms[t] = {x.data + first * x.columns + term.column + m * term.component_stride,
                                    x.columns, term.weight.k,
                                    r.packed + r.packed_offset[static_cast<std::size_t>(packs_[i][t])]};
                    }
                    device::multiply<T>(count, {terms.data(), block.terms.size()}, block.n,
                                        out + block.column + m * block.component_stride, columns,
                                        has_bias ? bias + block.column : nullptr, false);
                }
            }
        }
    }

    template <class T>
    void record(DeviceRun<T>& r) const {
        const std::size_t weight = r.inputs.size() - (biased_ ? 2 : 1);
        std::vector<kernels::ProductPiece> pieces;
        std::vector<kernels::ProductTermOnDevice<T>> terms;
        for (const Block& block : map_.blocks) {
            for (Index m = 0; m < block.components; ++m) {
                const auto first_term = static_cast<Index>(terms.size());
                Index chunks = 0;
                for (const BlockTerm& term : block.terms) {
                    const auto& x = r.inputs[static_cast<std::size_t>(term.input)];
                    terms.push_back({x.data + term.column + m * term.component_stride, x.columns,
                                     term.weight.k, r.inputs[weight].data + term.weight.offset,
                                     term.weight.k_stride, term.weight.n_stride});
                    chunks += (term.weight.k + kernels::ProductTile::depth - 1) / kernels::ProductTile::depth;
                }
                const Index column = block.column + m * block.component_stride;
                const bool has_bias = biased_ && block.column < r.inputs.back().columns;
                for (Index n = 0; n < block.n; n += kernels::ProductTile::columns) {
                    pieces.push_back({column + n, n,
                                      std::min<Index>(kernels::ProductTile::columns, block.n - n),
                                      has_bias ? block.column + n : -1, first_term,
                                      static_cast<Index>(terms.size()), chunks});
                }
            }
        }
        for (Index first = 0; first < map_.columns;) { // columns of no block: sums without terms
            Index end = first;
            while (end < map_.columns && end - first < kernels::ProductTile::columns &&
                   !covered_[static_cast<std::size_t>(end)]) {
                ++end;
            }
            if (end > first) {
                pieces.push_back({first, 0, end - first});
            }
            first = std::max(end, first + 1);
        }
        const T* bias = biased_ ? r.inputs.back().data : nullptr;
        if (r.row_products != nullptr) {
            r.row_products->push_back({r.rows(r.output(0).extent), std::move(pieces), std::move(terms), bias,
                                       r.out(0), r.out_columns(0)});
            return;
        }
        const auto piece_count = static_cast<Index>(pieces.size());
        const auto* piece_table = r.memory->constants(std::span<const kernels::ProductPiece>(pieces));
        const auto* term_table = r.memory->constants(std::span<const kernels::ProductTermOnDevice<T>>(terms));
        kernels::with_precision<T>(r.precision, [&]<kernels::ProductPrecision precision>() {
            constexpr Index tile = kernels::BlockProduct<T, precision>::tile_rows;
            r.list->team((r.output(0).capacity + tile - 1) / tile * piece_count,
                         kernels::BlockProduct<T, precision>{r.rows(r.output(0).extent), piece_table,
                                                             piece_count, term_table, bias, r.out(0),
                                                             r.out_columns(0)});
        });
    }

    void reverse(Reverse& r) const override;
    [[nodiscard]] double flop(const Run<float>& r) const override {
        double per_row = 0;
        for (const Block& block : map_.blocks) {
            for (const BlockTerm& term : block.terms) {
                per_row += 2.0 * static_cast<double>(block.components * block.n * term.weight.k);
            }
        }
        return per_row * static_cast<double>(r.out_rows(0));
    }

private:
    static constexpr Index most_tiled_weights = 1 << 14;
    BlockLinear map_;
    std::vector<std::vector<int>> packs_;
    bool biased_;
    std::vector<bool> covered_; // by column: some block writes it
    bool covers_all_ = true;
    Index weights_ = 0;
};

WeightView at(WeightView view, Index parameter_offset) {
    view.offset += parameter_offset;
    return view;
}

void BlockLinearOp::reverse(Reverse& r) const {
    Builder& b = r.builder();
    const Value dy = r.gradient(0);
    const int inputs = r.inputs() - (biased_ ? 2 : 1);
    const Value weight = r.in(inputs);
    for (int i = 0; i < inputs; ++i) {
        if (!r.wants(i)) {
            continue;
        }
        // The transposed map: blocks of the input's gradient are sums over the blocks that used them.
        BlockLinear back;
        back.columns = b.info(r.in(i)).columns;
        for (const Block& block : map_.blocks) {
            for (const BlockTerm& term : block.terms) {
                if (term.input != i) {
                    continue;
                }
                BlockTerm reversed{0,
                                   block.column,
                                   block.component_stride,
                                   {term.weight.offset, term.weight.n_stride, term.weight.k_stride,
                                    term.weight.n, term.weight.k}};
                const auto same = std::ranges::find_if(back.blocks, [&](const Block& other) {
                    return other.column == term.column && other.n == term.weight.k &&
                           other.components == block.components &&
                           other.component_stride == term.component_stride;
                });
                if (same != back.blocks.end()) {
                    same->terms.push_back(reversed);
                } else {
                    back.blocks.push_back(
                        {term.column, term.component_stride, block.components, term.weight.k, {reversed}});
                }
            }
        }
        r.add(i, block_linear(b, {dy}, weight, back));
    }
    if (r.wants(inputs)) {
        std::vector<WeightPart> parts;
        std::vector<WeightView> views;
        for (const Block& block : map_.blocks) {
            for (const BlockTerm& term : block.terms) {
                check(std::ranges::find(views, term.weight) == views.end(),
                      "block_linear: the same part of {} twice in one map", b.info(weight).name);
                views.push_back(term.weight);
                parts.push_back({term.input, term.column, term.component_stride, block.column,
                                 block.component_stride, block.components, term.weight});
            }
        }
        std::vector<Value> in;
        for (int i = 0; i < inputs; ++i) {
            in.push_back(r.in(i));
        }
        in.push_back(dy);
        const Value gradient = b.parameter_gradient(weight, views);
        b.append_into(weight_gradient(std::move(parts), b.info(dy).extent), std::move(in), {gradient});
    }
    if (biased_ && r.wants(inputs + 1)) {
        bias_gradient(b, dy, r.in(inputs + 1));
    }
}

} // namespace

Value block_linear(Builder& b, const std::vector<Value>& inputs, Value weight, const BlockLinear& map,
                   std::optional<Value> bias, Activation activation) {
    check(!inputs.empty(), "block_linear needs an input");
    const Extent extent = b.info(inputs.front()).extent;
    for (const Value x : inputs) {
        check(b.info(x).extent == extent, "block_linear: inputs of different extents");
    }
    std::vector<std::vector<int>> packs;
    std::vector<bool> written(static_cast<std::size_t>(map.columns), false);
    for (const Block& block : map.blocks) {
        check(block.column + (block.components - 1) * block.component_stride + block.n <= map.columns,
              "block_linear: a block ends beyond column {}", map.columns);
        for (Index m = 0; m < block.components; ++m) {
            for (Index j = 0; j < block.n; ++j) {
                // In a reverse map: input blocks that overlap without being the same.
                const auto at = static_cast<std::size_t>(block.column + m * block.component_stride + j);
                check(!written[at], "block_linear: two blocks write column {}", at);
                written[at] = true;
            }
        }
        check(block.terms.size() <= most_terms, "block_linear: at most {} terms in a block, found {}",
              most_terms, block.terms.size());
        packs.emplace_back();
        for (const BlockTerm& term : block.terms) {
            const WeightView& w = term.weight;
            check(term.input >= 0 && term.input < static_cast<int>(inputs.size()),
                  "block_linear: a term reads input {} of {}", term.input, inputs.size());
            const Index columns = b.info(inputs[static_cast<std::size_t>(term.input)]).columns;
            check(w.n == block.n &&
                      term.column + (block.components - 1) * term.component_stride + w.k <= columns,
                  "block_linear: a term reads beyond the {} columns of input {}", columns, term.input);
            check(w.offset + (w.k - 1) * w.k_stride + (w.n - 1) * w.n_stride < b.info(weight).columns,
                  "block_linear: weights end beyond the {} elements of {}", b.info(weight).columns,
                  b.info(weight).name);
            packs.back().push_back(b.pack(at(w, b.info(weight).offset)));
        }
    }
    std::vector<Value> in = inputs;
    in.push_back(weight);
    if (bias) {
        check(b.info(*bias).columns <= map.columns, "block_linear: {} biases for {} columns",
              b.info(*bias).columns, map.columns);
        in.push_back(*bias);
    }
    const Value y = b.append(std::make_shared<BlockLinearOp>(map, std::move(packs), bias.has_value()),
                             std::move(in), extent, map.columns);
    return activation == Activation::none ? y : ops::activation(b, y, activation);
}

Value linear(Builder& b, const std::vector<Value>& inputs, Value weight, Index out, std::optional<Value> bias,
             Activation activation) {
    Index total = 0;
    for (const Value x : inputs) {
        total += b.info(x).columns;
    }
    check(b.info(weight).columns == total * out, "linear: {} has {} elements, expected {} x {}",
          b.info(weight).name, b.info(weight).columns, out, total);
    Block block{0, 0, 1, out, {}};
    Index first = 0;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        const Index k = b.info(inputs[i]).columns;
        block.terms.push_back({static_cast<int>(i), 0, 0, {first, 1, total, k, out}});
        first += k;
    }
    return block_linear(b, inputs, weight, {out, {block}}, bias, activation);
}

Value linear_part(Builder& b, Value input, Value weight, Index out, Index in_total, Index first,
                  std::optional<Value> bias) {
    const Index k = b.info(input).columns;
    check(first >= 0 && first + k <= in_total && b.info(weight).columns == out * in_total,
          "linear_part: columns {} to {} of a weight {} x {}, which has {} elements", first, first + k, out,
          in_total, b.info(weight).columns);
    return block_linear(b, {input}, weight,
                        {out, {{0, 0, 1, out, {{0, 0, 0, {first, 1, in_total, k, out}}}}}}, bias);
}

} // namespace tether::ops
