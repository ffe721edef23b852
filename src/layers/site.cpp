#include "tether/layers/site.hpp"

#include "tether/core/error.hpp"
#include "tether/layers/linear.hpp"
#include "tether/ops/block_linear.hpp"
#include "tether/ops/elementwise.hpp"

#include <algorithm>

namespace tether::layers {

// Published names: `site`.linear.weight [out, in], `site`.linear.bias [out]; columns in the published
// order of their irreps.
Value Sites::linear_branch(Builder& b, RecordedSite& site) const {
    const std::string name = sites_[static_cast<std::size_t>(site.number)].name + ".linear";
    symmetry::Representation in;
    std::vector<Value> inputs;
    for (const Carried& part : site.entering) {
        in = in + part.columns;
        inputs.push_back(part.value);
    }
    const symmetry::Representation& out = site.equivariant.columns;
    const LinearOptions options{.bias = plan_.branch.bias,
                                .kind = ParameterKind::free,
                                .initial = plan_.branch.initial,
                                .input_order = in.published_order(),
                                .output_order = out.published_order()};
    site.weight = linear_weight(b, name, out.columns(), in.columns(), options);
    site.bias = linear_bias(b, name, out.columns(), in.columns(), options);
    return ops::linear(b, inputs, site.weight, out.columns(), site.bias);
}

Value Sites::add(Builder& b, const std::string& name, const Carried& equivariant,
                 const std::vector<Carried>& entering, const std::function<Value()>& free_branch) {
    const auto found = std::ranges::find(sites_, name, &SiteInfo::name);
    check(found != sites_.end(), "site {} is not in the model's list", name);
    if (plan_.gate == Gate::absent) {
        return equivariant.value;
    }
    RecordedSite site;
    site.number = static_cast<int>(found - sites_.begin());
    site.equivariant = equivariant;
    site.entering = entering;
    const auto matches = [&](const Carried& c) {
        return c.columns.columns() == b.info(c.value).columns &&
               b.info(c.value).extent == b.info(equivariant.value).extent;
    };
    check(!entering.empty() && matches(equivariant) && std::ranges::all_of(entering, matches),
          "site {}: rows or columns do not agree with what they are said to be", name);
    site.free = plan_.branch.linear ? linear_branch(b, site) : free_branch();
    const Value y = equivariant.value;
    Value sum;
    switch (plan_.gate) {
    case Gate::trained:
        site.gate = b.parameter({.name = found->gate,
                                 .shape = {},
                                 .kind = ParameterKind::gate,
                                 .initial = Initial::constant(plan_.initial_gate)});
        sum = ops::gated_add(b, y, site.gate, site.free);
        break;
    case Gate::controlled:
        site.gate = b.control(control_name(site.number));
        sum = ops::gated_add(b, y, site.gate, site.free);
        break;
    case Gate::state:
        site.gate = plan_.record_gate
                        ? plan_.record_gate(b, *found, site)
                        : b.state({.name = found->gate, .shape = {}, .initial = plan_.initial_gate});
        sum = ops::gated_add(b, y, site.gate, site.free);
        break;
    case Gate::constant:
        sum = ops::add(
            b, {y, plan_.initial_gate == 1 ? site.free : ops::scale(b, site.free, plan_.initial_gate)});
        break;
    case Gate::absent: break;
    }
    recorded_.push_back(std::move(site));
    return sum;
}

} // namespace tether::layers
