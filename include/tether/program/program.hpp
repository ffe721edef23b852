// A recorded program: values, nodes in execution order, and what is read from and given back to the
// outside. Reverse nodes are appended to the same list (differentiate), so planning, execution,
// counting and capture see one list.
#pragma once

#include "tether/program/op.hpp"
#include "tether/program/parameters.hpp"

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tether {

enum class ValueKind : std::uint8_t {
    input,          // a field of the batch
    parameter,      // in the flat parameter vector
    gradient,       // of a parameter, in the flat gradient vector
    extra_gradient, // a second part of the gradient of a parameter, reduced like the first
    total,          // a one-row value summed over all lanes of the batch: for nodes after the reduction
    state,          // kept between steps, not trained (running statistics): current
    next_state,     // the same, as it will be after this step
    control,        // a scalar set per step (gates, 1/count)
    intermediate    // in the arena
};

struct ValueInfo {
    ValueKind kind = ValueKind::intermediate;
    Extent extent;
    Index columns = 0;
    Index offset = 0; // place in its vector; fields: number of the field
    bool needs_gradient = false;
    std::string name;
    // A computed scalar whose reverse rule wants the gradient of this part of the batch, not yet summed
    // over all lanes (Builder::part_gradient).
    bool part_gradient = false;
};

// A buffer of a model that is not trained: batch statistics, power-iteration vectors.
struct StateBuffer {
    std::string name; // published name
    std::vector<Index> shape;
    double initial = 0;
    Index offset = 0, size = 0;
    std::optional<Initial> law = {}; // instead of `initial`: drawn, a pure function of (seed, name)
    std::function<void(std::span<double>)> prepare = {}; // what is drawn goes through this
    std::string spectral_weight =
        {};                     // u or v of this weight: starts from power iterations, not from `initial`
    bool spectral_left = false; // u (left) or v
};

class StateSet {
public:
    int require(StateBuffer buffer); // as ParameterSet::require
    [[nodiscard]] const std::vector<StateBuffer>& all() const { return buffers_; }
    [[nodiscard]] Index size() const { return size_; }
    template <class T>
    void initialise(std::vector<T>& flat, std::uint64_t seed = 0) const;

private:
    std::vector<StateBuffer> buffers_;
    Index size_ = 0;
};

struct Program {
    std::vector<ValueInfo> values;
    std::vector<Node> nodes;
    std::size_t forward_nodes = 0;                   // nodes before differentiate() appended its own
    std::size_t part_nodes = 0;                      // nodes before those that need the summed gradients
    std::vector<std::string> fields;                 // batch fields, in the order of their numbers
    std::vector<std::string> controls;               // control scalars, in the order of their numbers
    std::map<std::string, Value> outputs;            // named values kept to the end of the run
    std::vector<std::pair<std::string, Value>> sums; // one-row values summed over all lanes of the batch
    std::vector<WeightView> packed;                  // weights to pack before a step
    std::vector<std::pair<Index, Index>> reached;    // ranges of parameters that the loss reaches, ascending
    // Ranges of the parameters reached whose elements no node gives a gradient (weights that only meet
    // zeros): it is 0, and whoever runs the program has to see to it.
    std::vector<std::pair<Index, Index>> unwritten;
    Index extra_gradient = 0; // elements of all extra gradients
    bool exchanges = false;   // contains sums over all lanes in its middle

    [[nodiscard]] const ValueInfo& info(Value v) const { return values[static_cast<std::size_t>(v.id)]; }
    [[nodiscard]] Index sum_columns() const;                         // total columns of `sums`
    [[nodiscard]] int control_number(const std::string& name) const; // -1 when the program has none
};

// Floating-point operations of one node on a batch of so many rows per axis.
[[nodiscard]] double node_flop(const Program& program, std::size_t node,
                               const std::array<Index, axis_count>& rows);

} // namespace tether
