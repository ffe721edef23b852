// The only place where  y = f_eq + gamma · f_free  is written. A model names its sites and offers
// both branches; a policy, set by the training method, says what gamma is. With the gate absent the
// free branch is not even recorded, so that gamma = 0 costs nothing by construction.
#pragma once

#include "tether/program/builder.hpp"

#include <functional>
#include <string>
#include <vector>

namespace tether::layers {

enum class Gate : unsigned char {
    absent,    // exactly equivariant (projected)
    constant,  // gamma = 1
    trained,   // gamma is a parameter
    controlled // gamma is set per step by the method, through the control block
};

struct SiteInfo {
    std::string name; // such as layer2.update1
    std::string gate; // published name of its gamma
};

// A site as recorded in one program.
struct RecordedSite {
    int number = 0; // in the model's list
    Value gate;     // invalid for constant gates
    Value equivariant, free;
};

class Sites {
public:
    Sites(std::vector<SiteInfo> sites, Gate gate, double initial_gate = 1)
        : sites_(std::move(sites)), gate_(gate), initial_gate_(initial_gate) {}

    // `free_branch` records the free branch and returns its output; not called when the gate is absent.
    Value add(Builder& b, const std::string& name, Value equivariant,
              const std::function<Value()>& free_branch);

    [[nodiscard]] bool absent() const { return gate_ == Gate::absent; }
    [[nodiscard]] const std::vector<SiteInfo>& all() const { return sites_; }
    [[nodiscard]] const std::vector<RecordedSite>& recorded() const { return recorded_; }
    // Control scalar of site number i.
    [[nodiscard]] static std::string control_name(int number) { return "gate" + std::to_string(number); }

private:
    std::vector<SiteInfo> sites_;
    Gate gate_;
    double initial_gate_;
    std::vector<RecordedSite> recorded_;
};

} // namespace tether::layers
