#include "critic_nodes.hpp"

#include "tether/kernels/critic.hpp"
#include "tether/kernels/critic_update.hpp"
#include "tether/kernels/elementwise.hpp"
#include "tether/kernels/product.hpp"
#include "tether/methods/drawn.hpp"
#include "tether/ops/lane_reduce.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

namespace tether::methods {
namespace {

using symmetry::Piece;
using symmetry::Representation;

// What the gate and the gradient node both do: z and its turned copy for one row of the site.
struct RowReader : SiteRows {
    explicit RowReader(const SiteRows& rows) : SiteRows(rows) {}

    template <class T>
    [[nodiscard]] Index graph(const Run<T>& r, Index row) const {
        const Topology& t = r.batch->topology;
        const auto at = static_cast<std::size_t>(row / extent.times);
        switch (extent.axis) {
        case Axis::node: return t.graph_of_node[at];
        case Axis::edge: return t.graph_of_node[static_cast<std::size_t>(t.receiver[at])];
        case Axis::graph:
        case Axis::one: break;
        }
        return static_cast<Index>(at);
    }
    // z before the division by its running RMS.
    template <class T>
    void read(const Run<T>& r, Index row, T* z) const {
        for (int i = 0; i < parts(); ++i) {
            const Index n = widths[static_cast<std::size_t>(i)];
            z = std::copy_n(r.in(i) + row * n, n, z);
        }
        const Index from = target == extent ? row : graph(r, row);
        std::copy_n(r.in(target_input()) + from * y.columns(), y.columns(), z);
    }
    // z and g z, normalised.
    template <class T>
    void read(const Run<T>& r, Index row, const T* scale, T* z, T* turned) const {
        read(r, row, z);
        for (Index k = 0; k < shape.in; ++k) {
            z[k] *= k < x.columns() ? scale[0] : scale[1];
        }
        const Index g = graph(r, row);
        turn(r, x, g, z, turned);
        turn(r, y, g, z + x.columns(), turned + x.columns());
    }
    template <class T>
    void turn(const Run<T>& r, const Representation& columns, Index g, const T* from, T* to) const {
        for (const Piece& piece : columns.pieces()) {
            const Index n = piece.ir.dim();
            if (n == 1) {
                for (Index c = 0; c < piece.copies; ++c) {
                    to[piece.at(c, 0)] = from[piece.at(c, 0)];
                }
                continue;
            }
            const auto which = std::ranges::find(degrees, piece.ir.l) - degrees.begin();
            const T* d = r.in(turn_input(static_cast<std::size_t>(which))) + g * n * n;
            for (Index c = 0; c < piece.copies; ++c) {
                for (Index i = 0; i < n; ++i) {
                    T sum = 0;
                    for (Index j = 0; j < n; ++j) {
                        sum += d[i * n + j] * from[piece.at(c, j)];
                    }
                    to[piece.at(c, i)] = sum;
                }
            }
        }
    }

    // On a device: the rows that were drawn, as a list.
    template <class T>
    struct Chosen {
        kernels::CriticRows<T> rows;
        const T* weight;
        const Index* list;
        kernels::LaneRows lanes;
        kernels::RowCount count;
    };
    template <class T>
    [[nodiscard]] Chosen<T> choose(DeviceRun<T>& r) const {
        auto* list = r.memory->template scratch<Index>(drawn_rows_most);
        auto* begin = r.memory->template scratch<Index>(r.batch->lanes + 1);
        auto* total = r.memory->template scratch<Index>(1);
        const T* weight = r.in(weight_input());
        r.list->team(1, kernels::ChosenRows<T>{r.lanes(extent), weight, drawn_rows_most, list, begin, total});
        const std::vector<kernels::CriticColumn<T>> columns = columns_on_device(r);
        const kernels::TopologyView& t = r.batch->topology;
        const bool edges = extent.axis == Axis::edge;
        return {{r.memory->constants(std::span<const kernels::CriticColumn<T>>(columns)), shape.in,
                 edges || extent.axis == Axis::node ? t.graph_of_node : nullptr, edges ? t.receiver : nullptr,
                 extent.times},
                weight,
                list,
                {begin, r.batch->lanes, 1},
                {total, 1}};
    }
    // z and its turned copy for every chosen row.
    template <class T>
    [[nodiscard]] const T* input(DeviceRun<T>& r, const Chosen<T>& chosen, const T* scale) const {
        T* z = r.memory->template scratch<T>(drawn_rows_most * 2 * shape.in);
        using Input = kernels::CriticInput<T>;
        r.list->each(drawn_rows_most * shape.in,
                     kernels::PerNumber<Input>{chosen.count, static_cast<std::uint32_t>(shape.in),
                                               Input{chosen.rows, chosen.list, scale, z}});
        return z;
    }

private:
    template <class T>
    [[nodiscard]] std::vector<kernels::CriticColumn<T>> columns_on_device(const DeviceRun<T>& r) const {
        std::vector<kernels::CriticColumn<T>> columns;
        for (int i = 0; i <= parts(); ++i) { // the target follows the parts
            const bool is_target = i == target_input();
            for (Index c = 0; c < r.in_columns(i); ++c) {
                columns.push_back({.x = r.in(i) + c,
                                   .stride = r.in_columns(i),
                                   .of_graph = is_target && target != extent,
                                   .of_target = is_target,
                                   .first = 0,
                                   .component_stride = 0,
                                   .components = 1,
                                   .component = 0,
                                   .turn = nullptr});
            }
        }
        for (const Representation* part : {&x, &y}) {
            const Index first = part == &x ? 0 : x.columns();
            for (const Piece& piece : part->pieces()) {
                const Index n = piece.ir.dim();
                const auto which = std::ranges::find(degrees, piece.ir.l) - degrees.begin();
                for (Index k = 0; n > 1 && k < piece.copies * n; ++k) {
                    auto& column = columns[static_cast<std::size_t>(first + piece.at(k / n, k % n))];
                    column.first = static_cast<std::int32_t>(first + piece.at(k / n, 0));
                    column.component_stride = static_cast<std::int32_t>(piece.component_stride);
                    column.components = static_cast<std::int32_t>(n);
                    column.component = static_cast<std::int32_t>(k % n);
                    column.turn = r.in(turn_input(static_cast<std::size_t>(which)));
                }
            }
        }
        return columns;
    }
};

template <class T>
T* row_memory(Index columns) { // of z and of g z; kept from step to step
    thread_local std::vector<T> memory;
    if (memory.size() < static_cast<std::size_t>(2 * columns)) {
        memory.resize(static_cast<std::size_t>(2 * columns));
    }
    return memory.data();
}

template <class T, class Add>
std::span<const double> sums_over_batch(Run<T>& r, Extent extent, Index columns, Add&& add) {
    thread_local std::vector<double> sums;
    sums.resize(static_cast<std::size_t>(columns));
    ops::lane_reduce<double>(r.lanes(extent), columns, sums.data(), false, *r.sums, add);
    if (r.exchange != nullptr && *r.exchange) {
        (*r.exchange)(std::span<double>(sums));
    }
    return sums;
}

// Inputs: weights of K, dgamma, both summed over the batch, a, v, two moments, updates done.
// Outputs: the four buffers renewed.
class CriticStep : public OpOf<CriticStep> {
public:
    CriticStep(CriticShape shape, double rate) : shape_(shape), rate_(rate) {}
    [[nodiscard]] std::string_view name() const override { return "recm_update"; }
    template <class T>
    void execute(Run<T>& r) const {
        for (int k = 0; k < 3; ++k) {
            std::copy_n(r.in(3 + k), shape_.size(), r.out(k));
        }
        const T count = r.in(6)[0] + T(1);
        r.out(3)[0] = count;
        const auto n = static_cast<std::size_t>(shape_.size());
        update_critic<T>(shape_,
                         {.learning_rate = rate_,
                          .scale = static_cast<double>(r.in(1)[0]) * static_cast<double>(r.in(2)[0]),
                          .count = static_cast<Index>(count)},
                         r.in(0), {r.out(0), n}, {r.out(1), n}, {r.out(2), n});
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.list->each(shape_.size(), kernels::CriticAdam<T>{rate_, r.in(0), r.in(1), r.in(2), r.in(3), r.in(4),
                                                           r.in(5), r.in(6), r.out(0), r.out(1), r.out(2)});
        r.list->team(2, kernels::CriticClip<T>{shape_, r.out(0), r.in(6), r.out(3)});
    }

private:
    CriticShape shape_;
    double rate_;
};

// Inputs as SiteRows, then scale [2] and q [8]; output: the sum over this part's rows of d(q·delta)/dv.
class CriticGradient : public OpOf<CriticGradient> {
public:
    explicit CriticGradient(RowReader rows) : rows_(std::move(rows)) {}
    [[nodiscard]] std::string_view name() const override { return "recm_gradient"; }
    template <class T>
    void execute(Run<T>& r) const {
        const CriticShape& shape = rows_.shape;
        const T* v = r.in(rows_.critic_input());
        const T* scale = r.in(rows_.critic_input() + 1);
        ModulationVector q{};
        std::copy_n(r.in(rows_.critic_input() + 2), q.size(), q.begin());
        T outer[modulation_hidden];
        critic_outer(shape, v, q, outer);
        T* const z = row_memory<T>(shape.in);
        ops::lane_reduce<T>(r.lanes(rows_.extent), shape.size(), r.out(0), false, *r.scratch,
                            [&](Index row, T* sum) {
                                const T weight = r.in(rows_.weight_input())[row];
                                if (weight != 0) {
                                    rows_.read(r, row, scale, z, z + shape.in);
                                    add_critic_gradient(shape, v, outer, q, z, weight, sum);
                                    add_critic_gradient(shape, v, outer, q, z + shape.in, -weight, sum);
                                }
                            });
    }
    // A sum over rows of products z slope, taken as the gradient of a weight whose inputs are z and its
    // turned copy.
    template <class T>
    void record(DeviceRun<T>& r) const {
        constexpr Index hidden = modulation_hidden;
        const CriticShape& shape = rows_.shape;
        const int critic = rows_.critic_input();
        const T* q = r.in(critic + 2);
        const auto chosen = rows_.choose(r);
        const T* z = rows_.input(r, chosen, r.in(critic + 1));
        T* slope = r.memory->template scratch<T>(drawn_rows_most * 2 * hidden);
        T* value = r.memory->template scratch<T>(drawn_rows_most * 2 * hidden);
        using Slopes = kernels::CriticSlopes<T>;
        r.list->each(drawn_rows_most * 2 * hidden,
                     kernels::PerNumber<Slopes>{
                         chosen.count, 2 * static_cast<std::uint32_t>(hidden),
                         Slopes{shape, chosen.list, chosen.weight, r.in(critic), z, q, slope, value}});
        std::vector<kernels::GradientPiece<T>> pieces;
        constexpr Index most = kernels::ProductTile::rows;
        for (Index i = 0; i < shape.in; i += most) {
            pieces.push_back({z == nullptr ? nullptr : z + i, 2 * shape.in, shape.in,
                              std::min(most, shape.in - i), slope, 2 * hidden, hidden, hidden, 2, i * hidden,
                              hidden});
        }
        const Index lanes = chosen.lanes.lanes;
        T* partial = r.memory->template scratch<T>(lanes * shape.bias());
        r.products(chosen.lanes, drawn_rows_most, std::move(pieces), partial, shape.bias());
        r.list->each(shape.bias(),
                     kernels::LaneTotals<T, kernels::PutTotal<T>>{partial, lanes, shape.bias(), {r.out(0)}});
        r.template sum_over_lanes<32, T>(chosen.lanes, shape.size() - shape.bias(),
                                         kernels::CriticGradientLeaf<T>{slope, value, q},
                                         kernels::PutTotal<T>{r.out(0) + shape.bias()});
    }
    [[nodiscard]] double flop(const Run<float>& r) const override {
        const auto rows = static_cast<double>(std::min(r.in_rows(rows_.weight_input()), drawn_rows_most));
        return 8 * rows * static_cast<double>(rows_.shape.size());
    }

private:
    RowReader rows_;
};

// Inputs as SiteRows, then h [8], running squares of x and y and whether there are any [3], a.
// Outputs: gamma, scale [2], q [8], then the next h, running squares and gamma's own buffer.
class CriticGate : public OpOf<CriticGate> {
public:
    CriticGate(RowReader rows, CriticBuffers buffers, double rate)
        : rows_(std::move(rows)), buffers_(buffers), rate_(rate) {}
    [[nodiscard]] std::string_view name() const override { return "recm_gate"; }
    [[nodiscard]] bool exchanges() const override { return true; }
    template <class T>
    void execute(Run<T>& r) const {
        const CriticShape& shape = rows_.shape;
        const int critic = rows_.critic_input();
        T* const z = row_memory<T>(shape.in);
        const T* weights = r.in(rows_.weight_input());
        const Index x_columns = rows_.x.columns();
        const std::span<const double> squares =
            sums_over_batch(r, rows_.extent, 2, [&](Index row, double* sum) {
                if (weights[row] != 0) {
                    rows_.read(r, row, z);
                    const auto w = static_cast<double>(weights[row]);
                    for (Index k = 0; k < shape.in; ++k) {
                        const auto value = static_cast<double>(z[k]);
                        sum[k < x_columns ? 0 : 1] += w * value * value;
                    }
                }
            });
        const T* running = r.in(critic + 2);
        double square[2];
        T scale[2];
        for (int k = 0; k < 2; ++k) {
            const auto columns = static_cast<double>(k == 0 ? x_columns : rows_.y.columns());
            square[k] = running_square(static_cast<double>(running[k]),
                                       squares[static_cast<std::size_t>(k)] / columns, running[2] == 0);
            scale[k] = static_cast<T>(square[k] > 0 ? 1 / std::sqrt(square[k]) : 0.0);
        }
        const std::span<const double> sums =
            sums_over_batch(r, rows_.extent, modulation_size, [&](Index row, double* sum) {
                if (weights[row] != 0) {
                    rows_.read(r, row, scale, z, z + shape.in);
                    add_critic(shape, r.in(critic), z, weights[row], sum);
                    add_critic(shape, r.in(critic), z + shape.in, -weights[row], sum);
                }
            });
        ModulationVector delta{};
        ModulationVector h{};
        std::copy_n(sums.begin(), delta.size(), delta.begin());
        std::copy_n(r.in(critic + 1), h.size(), h.begin());
        const double gamma = advance_modulation(static_cast<double>(r.in(critic + 3)[0]), delta, h);
        if (r.has_out(0)) {
            r.out(0)[0] = static_cast<T>(gamma);
        }
        if (r.has_out(1)) {
            std::copy_n(scale, 2, r.out(1));
            const ModulationVector q = direction(h);
            std::ranges::transform(q, r.out(2), [](double value) { return static_cast<T>(value); });
        }
        if (r.commits_state) {
            std::ranges::transform(h, r.out(3), [](double value) { return static_cast<T>(value); });
            r.out(4)[0] = static_cast<T>(square[0]);
            r.out(4)[1] = static_cast<T>(square[1]);
            r.out(4)[2] = T(1);
            r.out(5)[0] = static_cast<T>(gamma);
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        const CriticShape& shape = rows_.shape;
        const int critic = rows_.critic_input();
        const auto chosen = rows_.choose(r);
        const auto state = [&](int i) { return r.commits_state ? r.out(i) : nullptr; };
        auto* squares = r.memory->template scratch<double>(2);
        r.template sum_over_lanes<2, double>(
            chosen.lanes, 2, kernels::CriticSquareLeaf<T>{chosen.rows, chosen.list, chosen.weight},
            kernels::PutTotal<double>{squares});
        r.list->exchange(squares, 2);
        T* scale = r.memory->template scratch<T>(2);
        r.list->each(2, kernels::CriticScale<T>{
                            squares,
                            {static_cast<double>(rows_.x.columns()), static_cast<double>(rows_.y.columns())},
                            r.in(critic + 2),
                            scale,
                            r.has_out(1) ? r.out(1) : nullptr,
                            state(4)});
        const T* z = rows_.input(r, chosen, scale);
        auto* difference = r.memory->template scratch<double>(drawn_rows_most * modulation_size);
        r.list->team(drawn_rows_most,
                     kernels::CriticDifference<T>{shape, chosen.count, chosen.list, chosen.weight,
                                                  r.in(critic), z, difference});
        auto* delta = r.memory->template scratch<double>(modulation_size);
        r.template sum_over_lanes<8, double>(chosen.lanes, modulation_size,
                                             kernels::ColumnLeaf<double>{difference, modulation_size},
                                             kernels::PutTotal<double>{delta});
        r.list->exchange(delta, modulation_size);
        r.list->each(1, kernels::CriticGateEnd<T>{delta, r.in(critic + 1), r.in(critic + 3),
                                                  r.has_out(0) ? r.out(0) : nullptr,
                                                  r.has_out(1) ? r.out(2) : nullptr, state(3),
                                                  r.commits_state ? r.out(4) + 2 : nullptr, state(5)});
    }
    // The rows are constants: only the critic learns from the gate.
    void reverse(Reverse& r) const override {
        Builder& b = r.builder();
        std::vector<Value> in;
        for (int i = 0; i <= rows_.critic_input(); ++i) {
            in.push_back(r.in(i));
        }
        in.insert(in.end(), {r.out(1), r.out(2)});
        const Value sum = b.append(std::make_shared<CriticGradient>(rows_), std::move(in), {Axis::one, 1},
                                   rows_.shape.size());
        b.append_last(std::make_shared<CriticStep>(rows_.shape, rate_),
                      {b.total(sum), b.total(r.gradient(0)), buffers_.a, buffers_.critic, buffers_.first,
                       buffers_.second, buffers_.count},
                      {},
                      {b.next_state(buffers_.critic), b.next_state(buffers_.first),
                       b.next_state(buffers_.second), b.next_state(buffers_.count)});
    }
    [[nodiscard]] double flop(const Run<float>& r) const override {
        const auto rows = static_cast<double>(std::min(r.in_rows(rows_.weight_input()), drawn_rows_most));
        return 4 * rows * static_cast<double>(rows_.shape.size());
    }

private:
    RowReader rows_;
    CriticBuffers buffers_;
    double rate_;
};

} // namespace

Value append_critic_gate(Builder& b, const SiteRows& rows, const CriticBuffers& buffers, double rate,
                         std::vector<Value> in, const std::vector<Value>& next) {
    const Extent one{Axis::one, 1};
    const Value gamma = b.append_all(std::make_shared<CriticGate>(RowReader(rows), buffers, rate),
                                     std::move(in), {{one, 1}, {one, 2}, {one, modulation_size}})
                            .front();
    auto& out = b.program().nodes.back().out;
    out.insert(out.end(), next.begin(), next.end());
    b.part_gradient(gamma);
    return gamma;
}

} // namespace tether::methods
