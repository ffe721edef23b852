// `recm`, recurrent constraint modulation, RECONSTRUCTED: the published update rule is not available; the
// rule of modulation.hpp stands in its place. Per site a critic v, its Adam moments, the running squares
// and the state h are buffers of the model; the gate of a step is computed inside the step from the rows
// that enter the layer. Three nodes per site: the gate (sums over the global batch in the middle), the
// gradient of the critic (a sum like any other gradient) and, after the reduction, its update.
// Keys: rule (reconstructed), critic_lr (1e-3).
#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/methods/drawn.hpp"
#include "tether/methods/method.hpp"
#include "tether/methods/modulation.hpp"
#include "tether/ops/lane_reduce.hpp"

#include <algorithm>
#include <cmath>
#include <set>

namespace tether::methods {
namespace {

using symmetry::Piece;
using symmetry::Representation;

// What the gate and the gradient node both do: z and its turned copy for one row of the site.
// Inputs of both nodes begin with: parts of x, target, row weights, turns, v.
struct SiteRows {
    std::vector<Index> widths; // of the parts of x
    Representation x, y;
    Extent extent, target;
    std::vector<int> degrees; // of the turns
    CriticShape shape;

    [[nodiscard]] int parts() const { return static_cast<int>(widths.size()); }
    [[nodiscard]] int target_input() const { return parts(); }
    [[nodiscard]] int weight_input() const { return parts() + 1; }
    [[nodiscard]] int turn_input(std::size_t k) const { return parts() + 2 + static_cast<int>(k); }
    [[nodiscard]] int critic_input() const { return turn_input(degrees.size()); }

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

private:
    CriticShape shape_;
    double rate_;
};

// Inputs as SiteRows, then scale [2] and q [8]; output: the sum over this part's rows of d(q·delta)/dv.
class CriticGradient : public OpOf<CriticGradient> {
public:
    explicit CriticGradient(SiteRows rows) : rows_(std::move(rows)) {}
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
    [[nodiscard]] double flop(const Run<float>& r) const override {
        const auto rows = static_cast<double>(std::min(r.in_rows(rows_.weight_input()), drawn_rows_most));
        return 8 * rows * static_cast<double>(rows_.shape.size());
    }

private:
    SiteRows rows_;
};

// The buffers of a site that the reverse rule needs.
struct CriticBuffers {
    Value a, critic, first, second, count;
};

// Inputs as SiteRows, then h [8], running squares of x and y and whether there are any [3], a.
// Outputs: gamma, scale [2], q [8], then the next h, running squares and gamma's own buffer.
class CriticGate : public OpOf<CriticGate> {
public:
    CriticGate(SiteRows rows, CriticBuffers buffers, double rate)
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
    SiteRows rows_;
    CriticBuffers buffers_;
    double rate_;
};

// The state holds no more than the constant a, told to the programs as the gates' controls.
class ModulationState : public MethodState {
public:
    explicit ModulationState(const Start& start) : MethodState(start) {
        std::ranges::fill(control_.gamma(),
                          modulation_rate(static_cast<double>(start.steps_per_epoch * start.epochs)));
    }
};

class Modulation : public Method {
public:
    Modulation(const std::string& name, double critic_rate) : Method(name), critic_rate_(critic_rate) {
        check(std::isfinite(critic_rate) && critic_rate >= 0, "method.critic_lr is {}, expected 0 or more",
              critic_rate);
    }
    [[nodiscard]] SitePolicy sites() const override {
        return {.gate = Gate::state, .initial_gamma = 1}; // |h_0|
    }
    [[nodiscard]] Needs needs() const override { return Needs::sites; }
    [[nodiscard]] Evaluation primary() const override { return Evaluation::relaxed; }
    [[nodiscard]] std::unique_ptr<MethodState> start(const Start& start) const override {
        log::info("recm is reconstructed: the published update rule is not available, another one with its "
                  "property stands in its place");
        return std::make_unique<ModulationState>(start);
    }

    [[nodiscard]] Value record_gate(const GateRecord& record) const override {
        Builder& b = record.b;
        SiteRows rows;
        std::vector<Value> in;
        for (const layers::Carried& part : record.site.entering) {
            rows.widths.push_back(part.columns.columns());
            rows.x = rows.x + part.columns;
            in.push_back(part.value);
        }
        rows.y = record.target.columns;
        rows.extent = b.info(record.site.entering.front().value).extent;
        rows.target = b.info(record.target.value).extent;
        check(rows.target == rows.extent || rows.target == Extent{Axis::graph, 1},
              "method '{}': rows at site {} have no target of their own", name(), record.info.name);
        in.insert(in.end(), {record.target.value, drawn_rows(b, rows.extent)});
        std::set<int> degrees;
        for (const Representation* columns : {&rows.x, &rows.y}) {
            for (const Piece& piece : columns->pieces()) {
                if (piece.ir.l > 0) {
                    degrees.insert(piece.ir.l);
                }
            }
        }
        for (const int l : degrees) {
            rows.degrees.push_back(l);
            in.push_back(drawn_turn(b, l));
        }
        rows.shape.in = rows.x.columns() + rows.y.columns();
        const CriticShape shape = rows.shape;

        const std::string prefix = record.info.name + ".recm.";
        const double bound = 1 / std::sqrt(static_cast<double>(shape.in));
        Initial law = Initial::uniform(0);
        law.pieces = {{shape.second(), bound},
                      {shape.size() - shape.second(), 1 / std::sqrt(static_cast<double>(modulation_hidden))}};
        Initial unit = Initial::constant(0);
        unit.pieces = {{1, 1.0}, {modulation_size - 1, 0.0}};
        const auto buffer = [&](const char* what, Index size) {
            return b.state({.name = prefix + what, .shape = {size}});
        };
        CriticBuffers buffers;
        buffers.a = b.control(layers::Sites::control_name(record.site.number));
        buffers.critic = b.state({.name = prefix + "critic",
                                  .shape = {shape.size()},
                                  .law = law,
                                  .prepare = [shape](std::span<double> v) { clip_critic(shape, v); }});
        buffers.first = buffer("critic_first_moment", shape.size());
        buffers.second = buffer("critic_second_moment", shape.size());
        buffers.count = buffer("critic_updates", 1);
        const Value h = b.state({.name = prefix + "h", .shape = {modulation_size}, .law = unit});
        const Value running = buffer("running_square", 3);
        const Value gate = b.state({.name = record.info.gate, .shape = {}, .initial = 1});
        in.insert(in.end(), {buffers.critic, h, running, buffers.a});

        const Value gamma =
            b.append_all(std::make_shared<CriticGate>(rows, buffers, critic_rate_), std::move(in),
                         {{{Axis::one, 1}, 1}, {{Axis::one, 1}, 2}, {{Axis::one, 1}, modulation_size}})
                .front();
        auto next = {b.next_state(h), b.next_state(running), b.next_state(gate)};
        auto& out = b.program().nodes.back().out;
        out.insert(out.end(), next.begin(), next.end());
        b.part_gradient(gamma);
        check(b.info(gamma).needs_gradient, "method '{}': nothing trained comes before site {}", name(),
              record.info.name);
        return gamma;
    }

private:
    double critic_rate_;
};

std::unique_ptr<Method> make_recm(const MethodSettings& settings) {
    return std::make_unique<Modulation>(
        settings.name, settings.values.has("critic_lr") ? settings.values.real("critic_lr") : 1e-3);
}

} // namespace

MethodEntry recm_entry();
MethodEntry recm_entry() {
    return {
        method_choice("recm", "gates from a learned measure of each layer's symmetry (reconstructed rule)",
                      {{.name = "rule",
                        .kind = Kind::text,
                        .standard = std::string("reconstructed"),
                        .meaning = "how a gate follows from the rows; the published rule is not available",
                        .words = {"reconstructed"}},
                       {.name = "critic_lr",
                        .kind = Kind::real,
                        .standard = 1e-3,
                        .meaning = "learning rate (Adam) of the critics",
                        .low = 0,
                        .high = 1}}),
        make_recm};
}

} // namespace tether::methods
