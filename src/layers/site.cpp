#include "tether/layers/site.hpp"

#include "tether/core/error.hpp"
#include "tether/ops/elementwise.hpp"

#include <algorithm>

namespace tether::layers {

Value Sites::add(Builder& b, const std::string& name, Value equivariant,
                 const std::function<Value()>& free_branch) {
    const auto found = std::ranges::find(sites_, name, &SiteInfo::name);
    check(found != sites_.end(), "site {} is not in the model's list", name);
    if (gate_ == Gate::absent) {
        return equivariant;
    }
    RecordedSite site;
    site.number = static_cast<int>(found - sites_.begin());
    site.equivariant = equivariant;
    site.free = free_branch();
    Value sum;
    switch (gate_) {
    case Gate::trained:
        site.gate = b.parameter({.name = found->gate,
                                 .shape = {},
                                 .kind = ParameterKind::gate,
                                 .initial = Initial::constant(initial_gate_)});
        sum = ops::gated_add(b, equivariant, site.gate, site.free);
        break;
    case Gate::controlled:
        site.gate = b.control(control_name(site.number));
        sum = ops::gated_add(b, equivariant, site.gate, site.free);
        break;
    case Gate::constant:
    case Gate::absent: sum = ops::add(b, {equivariant, site.free}); break;
    }
    recorded_.push_back(site);
    return sum;
}

} // namespace tether::layers
