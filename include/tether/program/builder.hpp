// Records a program. Models and layers call the functions in ops/, which call append(); shapes are
// checked here once, while recording.
#pragma once

#include "tether/program/program.hpp"

#include <memory>
#include <string>
#include <vector>

namespace tether {

class Builder {
public:
    Builder(ParameterSet& parameters, StateSet& state) : parameters_(parameters), state_(state) {}

    Value input(const std::string& field, Extent extent, Index columns, bool needs_gradient = false);
    Value parameter(Parameter parameter);
    Value control(const std::string& name);
    Value state(StateBuffer buffer);
    // Where the new contents of a state value are written during this run.
    Value next_state(Value state);

    // Appends a node with one output; `extra` outputs are made by append_all.
    Value append(std::shared_ptr<const Op> op, std::vector<Value> in, Extent extent, Index columns);
    std::vector<Value> append_all(std::shared_ptr<const Op> op, std::vector<Value> in,
                                  const std::vector<std::pair<Extent, Index>>& out);
    // A node that writes into existing values (gradients of parameters, next state).
    void append_into(std::shared_ptr<const Op> op, std::vector<Value> in, std::vector<Value> out);

    void output(const std::string& name, Value v) { program_.outputs[name] = v; }
    void sum(const std::string& name, Value v);
    int pack(const WeightView& view); // number of its place in Program::packed

    // Appends the reverse pass from a one-row, one-column value.
    void differentiate(Value loss);
    // After differentiate: the gradient of an input or intermediate, if it has one.
    [[nodiscard]] Value gradient_of(Value v) const;
    // Where an operation writes its part of a parameter's gradient; `parts` says which elements. Those of
    // one operation are disjoint, and new or all written before; what is written again (shared weights)
    // gets a place of its own, added once both are summed over all lanes: adding earlier would make
    // the rounding depend on how lanes are grouped.
    Value parameter_gradient(Value parameter, const std::vector<WeightView>& parts);
    // A node that changes the gradient of a parameter once it is summed over all lanes of the global
    // batch: what is not linear in the parts of a sum must wait for the sum. Dropped if the loss does
    // not reach the parameter. Called from Op::reverse.
    void append_after_reduction(std::shared_ptr<const Op> op, std::vector<Value> in, Value parameter);
    // A one-row value of this part summed over all lanes, as nodes after the reduction see it.
    Value total(Value v);
    // Marks a computed scalar: its reverse rule takes this part's share of the gradient and sums later.
    void part_gradient(Value v) { program_.values[static_cast<std::size_t>(v.id)].part_gradient = true; }
    // A one-row value that a node after the reduction will write.
    Value later(Index columns);
    // A node after the reduction and after all of the kind above. Its outputs: the gradients of the
    // `parameters` (absent where the loss does not reach one), then `out` (later values, next states).
    // It runs once per step on every rank, with the same numbers. Called before the end of differentiate().
    void append_last(std::shared_ptr<const Op> op, std::vector<Value> in, std::vector<Value> parameters,
                     std::vector<Value> out);

    [[nodiscard]] const ValueInfo& info(Value v) const { return program_.info(v); }
    [[nodiscard]] ParameterSet& parameters() { return parameters_; }
    [[nodiscard]] StateSet& states() { return state_; }
    [[nodiscard]] Program& program() { return program_; }
    [[nodiscard]] Program finish();

private:
    friend class Reverse;
    Value add_value(ValueInfo info);
    ParameterSet& parameters_;
    StateSet& state_;
    Program program_;
    std::map<std::string, Value> named_;            // inputs, parameters, controls, states
    std::vector<std::vector<Value>> contributions_; // per value: gradients waiting to be added
    std::vector<Value> gradients_;
    struct Pending {
        std::shared_ptr<const Op> op;
        std::vector<Value> in;
        Value parameter;
    };
    std::vector<Pending> after_reduction_;
    struct Last {
        std::shared_ptr<const Op> op;
        std::vector<Value> in, parameters, out;
    };
    std::vector<Last> last_;
    std::map<int, std::vector<bool>> written_; // parameter value -> its elements that have a gradient
};

// The operation that sums values of one shape (ops/elementwise.hpp offers it as add()).
std::shared_ptr<const Op> add_op();

// What Op::reverse works with.
class Reverse {
public:
    Reverse(Builder& builder, const Node& node, std::vector<Value> out_gradients)
        : builder_(builder), node_(node), out_gradients_(std::move(out_gradients)) {}

    [[nodiscard]] Builder& builder() { return builder_; }
    [[nodiscard]] Value in(int i) const { return node_.in[static_cast<std::size_t>(i)]; }
    [[nodiscard]] Value out(int i) const { return node_.out[static_cast<std::size_t>(i)]; }
    [[nodiscard]] int inputs() const { return static_cast<int>(node_.in.size()); }
    // Gradient of an output; invalid when the loss does not depend on it.
    [[nodiscard]] Value gradient(int out) const { return out_gradients_[static_cast<std::size_t>(out)]; }
    [[nodiscard]] bool wants(int i) const { return in(i).valid() && builder_.info(in(i)).needs_gradient; }
    // A contribution to the gradient of input i (same extent and columns as the input).
    void add(int i, Value gradient);

private:
    Builder& builder_;
    Node node_;
    std::vector<Value> out_gradients_;
};

} // namespace tether
