// The only place where  y = f_eq + gamma · f_free  is written. A model names its sites and offers both
// branches and what enters the layer; a plan, made from the training method's policy, says what gamma
// is and which free branch stands there. With the gate absent the free branch is not even recorded, so
// that gamma = 0 costs nothing by construction.
#pragma once

#include "tether/program/builder.hpp"
#include "tether/symmetry/representation.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace tether::layers {

enum class Gate : unsigned char {
    absent,     // exactly equivariant (projected): the network is built without branches
    constant,   // the initial value for ever
    trained,    // a parameter, from the initial value
    controlled, // set for every step by the method's state, through the control block
    state       // a buffer under the gate's name, renewed in training by nodes that the method records
};

struct SiteInfo {
    std::string name; // such as layer2.update1
    std::string gate; // published name of its gamma
};

// Rows, and what their columns are under rotation.
struct Carried {
    Value value;
    symmetry::Representation columns;
};

// Which free branch stands at the sites: the model's own, or W x + b with x everything that enters.
struct FreeBranch {
    bool linear = false;
    bool bias = true;                    // of the linear one
    std::optional<Initial> initial = {}; // of W; default U(±1/sqrt(in))
};

// A site as recorded in one program.
struct RecordedSite {
    int number = 0; // in the model's list
    Value gate;     // invalid for constant gates
    Carried equivariant;
    Value free;
    std::vector<Carried> entering;  // all of the same extent
    Value weight;                   // W [columns of equivariant, columns entering] of a linear branch
    std::optional<Value> bias = {}; // b
};

// Records a gate in a training program; the gate's buffer must get its new value there.
using RecordGate = std::function<Value(Builder&, const SiteInfo&, const RecordedSite&)>;

struct SitePlan {
    Gate gate = Gate::absent;
    double initial_gate = 1;
    FreeBranch branch = {};
    RecordGate record_gate = {}; // Gate::state in training programs; otherwise the buffer is read
};

class Sites {
public:
    Sites(std::vector<SiteInfo> sites, SitePlan plan) : sites_(std::move(sites)), plan_(std::move(plan)) {}

    // `free_branch` records the model's own free branch and returns its output.
    Value add(Builder& b, const std::string& name, const Carried& equivariant,
              const std::vector<Carried>& entering, const std::function<Value()>& free_branch);

    [[nodiscard]] bool absent() const { return plan_.gate == Gate::absent; }
    // Whether add() calls free_branch at all.
    [[nodiscard]] bool own_branches() const { return !absent() && !plan_.branch.linear; }
    [[nodiscard]] const std::vector<SiteInfo>& all() const { return sites_; }
    [[nodiscard]] const std::vector<RecordedSite>& recorded() const { return recorded_; }
    // Control scalar of site number i.
    [[nodiscard]] static std::string control_name(int number) { return "gate" + std::to_string(number); }

private:
    Value linear_branch(Builder& b, RecordedSite& site) const;
    std::vector<SiteInfo> sites_;
    SitePlan plan_;
    std::vector<RecordedSite> recorded_;
};

} // namespace tether::layers
