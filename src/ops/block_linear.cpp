#include "tether/ops/block_linear.hpp"

#include "tether/core/error.hpp"
#include "tether/device/gemm.hpp"
#include "tether/kernels/elementwise.hpp"
#include "tether/kernels/product.hpp"
#include "tether/ops/elementwise.hpp"
#include "tether/ops/lane_reduce.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

namespace tether::ops {
namespace {

// Rows that go through all panels before the next ones: they stay in the first-level and second-level
// caches. A multiple of every register block.
constexpr Index chunk_rows = 84;
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
        const auto piece_count = static_cast<Index>(pieces.size());
        constexpr Index tile = kernels::ProductTile::rows;
        r.list->team((r.output(0).capacity + tile - 1) / tile * piece_count,
                     kernels::BlockProduct<T>{
                         r.rows(r.output(0).extent),
                         r.memory->constants(std::span<const kernels::ProductPiece>(pieces)), piece_count,
                         r.memory->constants(std::span<const kernels::ProductTermOnDevice<T>>(terms)),
                         biased_ ? r.inputs.back().data : nullptr, r.out(0), r.out_columns(0)});
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

// Gradients of all weight views of one map with respect to dy.
class WeightGradient : public OpOf<WeightGradient> {
public:
    struct Part {
        int input;
        Index x_column, x_stride, y_column, y_stride, components;
        WeightView weight;
    };
    WeightGradient(std::vector<Part> parts, Extent rows)
        : parts_(std::move(parts)),
          most_tiled_weights_(rows.axis == Axis::edge || rows.times > 1 ? 1 << 15 : 13000) {
        for (const Part& p : parts_) {
            elements_ += p.weight.k * p.weight.n;
        }
    }
    [[nodiscard]] std::string_view name() const override { return "weight_gradient"; }
    // Sums that are large for the number of rows of a lane are made block by block from all rows instead.
    [[nodiscard]] bool sums_tiles() const override { return elements_ <= most_tiled_weights_; }

    template <class T>
    void execute(Run<T>& r) const {
        if (sums_tiles()) {
            by_rows(r);
            return;
        }
        const std::span<const Index> lanes = r.lanes(r.inputs.back().extent);
        for (const Part& p : parts_) {
            const auto [a, b] = factors(r, p, 0);
            const bool plain = p.weight.n_stride == 1;
            device::multiply_transposed(lanes, p.components, a, b, r.out(0) + p.weight.offset,
                                        plain ? p.weight.k_stride : p.weight.n_stride, false, *r.scratch);
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        std::vector<kernels::GradientPiece<T>> pieces;
        std::vector<kernels::TotalPlace<T>> places; // partial sums are put in when they have their memory
        Index elements = 0;
        constexpr Index most_rows = kernels::ProductTile::rows;
        constexpr Index most_columns = kernels::ProductTile::columns;
        for (const Part& p : parts_) {
            const auto& x = r.inputs[static_cast<std::size_t>(p.input)];
            const auto& dy = r.inputs.back();
            const bool plain = p.weight.n_stride == 1;
            kernels::GradientPiece<T> whole{x.data + p.x_column,  x.columns,  p.x_stride, p.weight.k,
                                            dy.data + p.y_column, dy.columns, p.y_stride, p.weight.n,
                                            p.components,         elements,   0};
            if (!plain) { // in the order in which the gradient lies in memory
                std::swap(whole.a, whole.b);
                std::swap(whole.a_stride, whole.b_stride);
                std::swap(whole.a_component, whole.b_component);
                std::swap(whole.a_columns, whole.b_columns);
            }
            whole.partial_stride = whole.b_columns;
            places.push_back({nullptr, 0, elements, whole.b_columns,
                              plain ? p.weight.k_stride : p.weight.n_stride, r.out(0) + p.weight.offset});
            for (Index i = 0; i < whole.a_columns; i += most_rows) {
                for (Index j = 0; j < whole.b_columns; j += most_columns) {
                    kernels::GradientPiece<T> piece = whole;
                    piece.a += i;
                    piece.b += j;
                    piece.a_columns = std::min(most_rows, whole.a_columns - i);
                    piece.b_columns = std::min(most_columns, whole.b_columns - j);
                    piece.at += i * whole.b_columns + j;
                    pieces.push_back(piece);
                }
            }
            elements += whole.a_columns * whole.b_columns;
        }
        const kernels::LaneRows lanes = r.lanes(r.inputs.back().extent);
        T* partial = r.partial_sums(lanes.lanes * elements);
        r.products(lanes, r.inputs.back().capacity, std::move(pieces), partial, elements);
        for (kernels::TotalPlace<T>& place : places) {
            place.partial = partial + place.first;
            place.lane_stride = elements;
        }
        r.total(std::move(places), elements, lanes.lanes);
    }
    [[nodiscard]] double flop(const Run<float>& r) const override {
        double per_row = 0;
        for (const Part& p : parts_) {
            per_row += 2.0 * static_cast<double>(p.components * p.weight.k * p.weight.n);
        }
        return per_row * static_cast<double>(r.inputs.back().rows);
    }

private:
    // x and dy from a row on, in the order in which the gradient lies in memory.
    template <class T>
    [[nodiscard]] std::pair<device::Factor<T>, device::Factor<T>> factors(const Run<T>& r, const Part& p,
                                                                          Index row) const {
        const auto& x = r.inputs[static_cast<std::size_t>(p.input)];
        const auto& dy = r.inputs.back();
        const device::Factor<T> fx{x.data + row * x.columns + p.x_column, x.columns, p.x_stride, p.weight.k};
        const device::Factor<T> fy{dy.data + row * dy.columns + p.y_column, dy.columns, p.y_stride,
                                   p.weight.n};
        return p.weight.n_stride == 1 ? std::pair(fx, fy) : std::pair(fy, fx);
    }

    // A few rows at a time through all parts: rows are read once, the sums stay in the cache.
    template <class T>
    void by_rows(Run<T>& r) const {
        Index columns = 0;
        for (const Part& p : parts_) {
            const auto [a, b] = factors(r, p, 0);
            columns += a.columns * device::padded_columns<T>(b.columns);
        }
        const auto add_rows = [&](Index first, Index count, T* sum) {
            for (const Part& p : parts_) {
                const auto [a, b] = factors(r, p, first);
                device::accumulate_transposed(count, p.components, a, b, sum, *r.scratch);
                sum += a.columns * device::padded_columns<T>(b.columns);
            }
        };
        if (r.sums_tiles) {
            LaneTree<T> tree(r.tile.lanes, columns, *r.partial);
            if (r.tile.begins) {
                tree.clear();
            }
            add_rows(0, r.inputs.back().rows, tree.sum());
            if (r.tile.ends) {
                tree.add(r.tile.lane);
                if (r.tile.lane + 1 == r.tile.lanes) {
                    write(r, tree.sum());
                }
            }
            return;
        }
        const std::span<const Index> lanes = r.lanes(r.inputs.back().extent);
        LaneTree<T> tree(static_cast<Index>(lanes.size()) - 1, columns, *r.partial);
        for (std::size_t l = 0; l + 1 < lanes.size(); ++l) {
            tree.clear();
            for (Index row = lanes[l]; row < lanes[l + 1]; row += chunk_rows) {
                add_rows(row, std::min(chunk_rows, lanes[l + 1] - row), tree.sum());
            }
            tree.add(static_cast<Index>(l));
        }
        write(r, tree.sum());
    }

    template <class T>
    void write(Run<T>& r, const T* sum) const {
        for (const Part& p : parts_) {
            const auto [a, b] = factors(r, p, 0);
            const Index stride = p.weight.n_stride == 1 ? p.weight.k_stride : p.weight.n_stride;
            for (Index i = 0; i < a.columns; ++i) {
                std::copy_n(sum, b.columns, r.out(0) + p.weight.offset + i * stride);
                sum += device::padded_columns<T>(b.columns);
            }
        }
    }

    std::vector<Part> parts_;
    Index most_tiled_weights_;
    Index elements_ = 0;
};

class ColumnSum : public OpOf<ColumnSum> {
public:
    explicit ColumnSum(Index columns) : columns_(columns) {}
    [[nodiscard]] std::string_view name() const override { return "column_sum"; }
    [[nodiscard]] bool sums_tiles() const override { return true; }
    template <class T>
    void execute(Run<T>& r) const {
        const T* x = r.in(0);
        const Index stride = r.in_columns(0);
        const auto add = [&](Index row, T* __restrict__ sum) {
            const T* __restrict__ from = x + row * stride;
            for (Index c = 0; c < columns_; ++c) {
                sum[c] += from[c];
            }
        };
        if (!r.sums_tiles) {
            lane_reduce(r.lanes(r.inputs[0].extent), columns_, r.out(0), false, *r.scratch, add);
            return;
        }
        LaneTree<T> tree(r.tile.lanes, columns_, *r.partial);
        if (r.tile.begins) {
            tree.clear();
        }
        for (Index row = 0; row < r.in_rows(0); ++row) {
            add(row, tree.sum());
        }
        if (r.tile.ends) {
            tree.add(r.tile.lane);
            if (r.tile.lane + 1 == r.tile.lanes) {
                std::copy_n(tree.sum(), columns_, r.out(0));
            }
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.gradient_sum(r.lanes(r.input(0).extent), columns_, r.in(0), nullptr, r.in_columns(0));
    }
    [[nodiscard]] double flop(const Run<float>& r) const override {
        return static_cast<double>(r.in_rows(0) * columns_);
    }

private:
    Index columns_;
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
        std::vector<WeightGradient::Part> parts;
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
        b.append_into(std::make_shared<WeightGradient>(std::move(parts), b.info(dy).extent), std::move(in),
                      {gradient});
    }
    if (biased_ && r.wants(inputs + 1)) {
        bias_gradient(b, dy, r.in(inputs + 1));
    }
}

} // namespace

void bias_gradient(Builder& b, Value dy, Value bias) {
    const Index columns = b.info(bias).columns;
    const Value gradient = b.parameter_gradient(bias, {{0, 0, 1, 1, columns}});
    b.append_into(std::make_shared<ColumnSum>(columns), {dy}, {gradient});
}

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

Value column_sum(Builder& b, Value x) {
    check(b.info(x).extent.axis != Axis::one, "column_sum: rows of the batch expected, {} is one row",
          b.info(x).name);
    return b.append(std::make_shared<ColumnSum>(b.info(x).columns), {x}, {Axis::one, 1}, b.info(x).columns);
}

} // namespace tether::ops
