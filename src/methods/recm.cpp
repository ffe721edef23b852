// `recm`, recurrent constraint modulation, RECONSTRUCTED: the published update rule is not available; the
// rule of modulation.hpp stands in its place. Per site a critic v, its Adam moments, the running squares
// and the state h are buffers of the model; the gate of a step is computed inside the step from the rows
// that enter the layer. Three nodes per site: the gate (sums over the global batch in the middle), the
// gradient of the critic (a sum like any other gradient) and, after the reduction, its update.
// Keys: rule (reconstructed), critic_lr (1e-3).
#include "critic_nodes.hpp"
#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/methods/drawn.hpp"
#include "tether/methods/method.hpp"

#include <algorithm>
#include <cmath>
#include <set>

namespace tether::methods {
namespace {

using symmetry::Piece;
using symmetry::Representation;

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

        const Value gamma = append_critic_gate(b, rows, buffers, critic_rate_, std::move(in),
                                               {b.next_state(h), b.next_state(running), b.next_state(gate)});
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
