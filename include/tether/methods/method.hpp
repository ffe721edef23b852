// A method decides the degree of symmetry of a network with sites y = f_eq(z) + gamma f_free(z):
// what gamma is, what the constraint adds to the loss, what the coordinator computes between steps,
// and which evaluation counts. Methods know nothing of models.
//
// One step t (methods.md 1.3): forward and backward at gamma_t -> primal_terms() with the control of
// step t -> MethodState::advance() with gamma_t, u_t gives the control of step t+1 (it may run any
// time before that is needed, wherever the state lives) -> primal update of weights, gates, slacks.
#pragma once

#include "tether/core/settings.hpp"
#include "tether/core/types.hpp"
#include "tether/layers/site.hpp"
#include "tether/methods/dual.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace tether::methods {

using layers::Gate; // controlled: Control::gamma; state: Method::record_gate

struct SitePolicy {
    Gate gate = Gate::absent;
    double initial_gamma = 1;
    bool slack = false; // one u per site, appended to the flat parameter vector with gamma
    double initial_u = 0;
    layers::FreeBranch branch = {}; // the model's own, or a linear map of what enters
    double free_scale = 1;          // free parameters start at this multiple of their usual scale
};

enum class Evaluation : std::uint8_t { projected, relaxed };

// The losses that training adds up: the model's loss on the samples as they are, on the samples with
// inputs and targets turned by a random group element each, or both with weights that the state sets.
struct Tasks {
    bool plain = true;
    bool turned = false;
    bool together = false; // turned by one element for the whole batch instead of one each
    [[nodiscard]] bool weighted() const { return plain && turned; }
    [[nodiscard]] Index weights() const { return weighted() ? 2 : 0; } // plain, turned
};

// What a method asks of a model.
enum class Needs : std::uint8_t { nothing, sites, no_sites };

// What workers need to know of the state in a step: 3 blocks of [sites], then the weights of the tasks.
// Blocks that a method does not use are 0. Of fixed size, so that it can be sent as it is.
class Control {
public:
    explicit Control(Index sites = 0, Index tasks = 0)
        : sites_(static_cast<std::size_t>(sites)),
          values_(3 * sites_ + static_cast<std::size_t>(tasks), 0.0) {}

    [[nodiscard]] std::span<double> lambda() { return block(0); }
    [[nodiscard]] std::span<double> bound() { return block(1); } // constraint.hpp
    [[nodiscard]] std::span<double> gamma() { return block(2); } // of controlled gates
    [[nodiscard]] std::span<const double> lambda() const { return block(0); }
    [[nodiscard]] std::span<const double> bound() const { return block(1); }
    [[nodiscard]] std::span<const double> gamma() const { return block(2); }

    [[nodiscard]] std::span<double> tasks() { return std::span<double>(values_).subspan(3 * sites_); }
    [[nodiscard]] std::span<const double> tasks() const {
        return std::span<const double>(values_).subspan(3 * sites_);
    }

    [[nodiscard]] std::span<double> values() { return values_; }
    [[nodiscard]] std::span<const double> values() const { return values_; }
    [[nodiscard]] bool finite() const;

private:
    [[nodiscard]] std::span<double> block(std::size_t k) {
        return std::span<double>(values_).subspan(k * sites_, sites_);
    }
    [[nodiscard]] std::span<const double> block(std::size_t k) const {
        return std::span<const double>(values_).subspan(k * sites_, sites_);
    }
    std::size_t sites_;
    std::vector<double> values_;
};

// What the state is told once.
struct Start {
    Index sites = 0;
    Index steps_per_epoch = 1;
    Index epochs = 1;
    Index tasks = 0;              // weights of tasks in the control
    std::vector<double> lambda{}; // first multipliers; empty: 0
};

// What the state is told of a step: gates and slacks before its primal update.
struct StepInput {
    Index step = 0;           // from 0
    double learning_rate = 0; // of the duals in this step
    std::span<const double> gamma{};
    std::span<const double> u{}; // empty where there is no slack
    // Where the method measures its tasks, of each: loss and Frobenius norm of its gradient, both without
    // the task's weight, the gradient that of the last weight matrix all tasks share.
    std::span<const double> task_loss{}, task_norm{};
};

// What changes between steps without being trained; lives with the coordinator. This class alone is
// the state of a method that has none.
class MethodState {
public:
    // own: length of what a derived state keeps beyond the control (own_, zeros at the start).
    explicit MethodState(const Start& start, std::size_t own = 0);
    virtual ~MethodState() = default;
    MethodState(const MethodState&) = delete;
    MethodState& operator=(const MethodState&) = delete;

    // Of the step to come: step 0 after construction, t + 1 after advance(t).
    [[nodiscard]] const Control& control() const { return control_; }
    virtual void advance(const StepInput& input);

    // Everything a checkpoint needs; load() throws Error(storage) on numbers of another method.
    [[nodiscard]] std::vector<double> save() const;
    void load(std::span<const double> saved);

protected:
    Control control_;
    std::vector<double> own_;
};

// Arguments of primal_terms: double copies of the values before the update; gradients are added to.
struct PrimalView {
    std::span<const double> gamma;
    std::span<const double> u; // empty where there is no slack
    const Control& control;
    std::span<double> dgamma;
    std::span<double> du;
};

// Where a method adds to a training program: the whole forward pass and the task loss stand, the reverse
// pass is still to come.
struct TrainingProgram {
    Builder& b;
    const std::vector<layers::RecordedSite>& sites;
};

// Where the gate of one site is recorded in a training program (Gate::state).
struct GateRecord {
    Builder& b;
    const layers::SiteInfo& info;
    const layers::RecordedSite& site;
    layers::Carried target; // of the task, a field of the batch
};

class Method {
public:
    explicit Method(std::string name) : name_(std::move(name)) {}
    virtual ~Method() = default;
    Method(const Method&) = delete;
    Method& operator=(const Method&) = delete;

    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] virtual SitePolicy sites() const = 0;
    [[nodiscard]] virtual Evaluation primary() const = 0; // both are always reported
    [[nodiscard]] virtual Needs needs() const { return Needs::nothing; }
    [[nodiscard]] virtual Tasks tasks() const { return {}; }
    // The state wants StepInput::task_loss and task_norm of the step itself, so that it advances after the
    // gradients are summed instead of behind their computation.
    [[nodiscard]] virtual bool measures_tasks() const { return false; }
    // The state has multipliers: [dual] means something, lambda is worth logging.
    [[nodiscard]] virtual bool has_multipliers() const { return false; }

    // Records what the method adds to a step: sums over the batch (Builder::total) and nodes after the
    // reduction that change gradients (Builder::append_last). A one-row output named added_loss/...
    // counts as added to the task loss.
    virtual void record(const TrainingProgram& program) const;
    // Records gamma of a site [1 x 1] and renews the buffer named as the gate (append_last or a node of
    // its own); called for Gate::state alone.
    [[nodiscard]] virtual Value record_gate(const GateRecord& record) const;

    // Adds the constraint's gradients; returns what it adds to the task loss.
    virtual double primal_terms(const PrimalView& view) const;
    [[nodiscard]] virtual std::unique_ptr<MethodState> start(const Start& start) const;

private:
    std::string name_;
};

inline constexpr const char* added_loss = "added_loss/";

// The keys of section [method] as the job gives them (a key that is missing has its default, stated
// in the method's file), and [dual].
struct MethodSettings {
    std::string name = "strict";
    Settings values{};
    DualSettings dual{};
};

// Throws Error(usage): unknown name (with the nearest), value out of range, impossible combination.
[[nodiscard]] std::unique_ptr<Method> make_method(const MethodSettings& settings);
[[nodiscard]] std::vector<std::string> method_names();

// The registry: a word with its keys of the job file, and what it makes. Those of the library stand in
// src/methods/registry.cpp.
struct MethodEntry {
    Choice choice; // chooser "method.name"
    std::function<std::unique_ptr<Method>(const MethodSettings&)> make;
};
[[nodiscard]] const std::vector<MethodEntry>& method_table();
void register_method(MethodEntry entry); // from outside the library; throws on a name in use

// The entry of a word of the library.
[[nodiscard]] inline Choice method_choice(std::string word, std::string meaning, std::vector<Key> keys = {},
                                          std::vector<std::string> brings = {}) {
    return {"method.name", std::move(word), std::move(meaning), std::move(keys), std::move(brings)};
}
// The key `gate_initial` of methods with constant or trained gates.
[[nodiscard]] Key gate_initial_key();

} // namespace tether::methods
