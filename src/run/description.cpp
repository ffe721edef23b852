#include "tether/run/description.hpp"

#include "tether/core/text.hpp"
#include "tether/run/coordinator_role.hpp"
#include "tether/run/turning.hpp"

#include <fmt/format.h>

namespace tether::run {

std::string squared_units(const std::string& units) {
    return units.empty() || units == "1" ? "1" : "(" + units + ")^2";
}

Quantity headline_of(const Setup& setup) {
    const models::Model& model = setup.network->model();
    if (model.loss() != models::LossKind::squared) {
        return {"mae", "1", "mean absolute error, standardised target"};
    }
    const Index all = setup.network->target_extent().times;
    const Index last = setup.network->evaluated_extent().times;
    std::string meaning = "mean squared error per coordinate";
    if (last < all) {
        meaning += last == 1 ? fmt::format(" at the last of {} times", all)
                             : fmt::format(" at the last {} of {} times", last, all);
    }
    return {"mse", squared_units(setup.set.field(model.target().name).units), std::move(meaning)};
}

std::vector<std::string> unreached_sites(const Network& network) {
    std::vector<std::string> names;
    const std::vector<std::string> all = network.site_names();
    for (Index s = 0; s < network.sites(); ++s) {
        if (network.gate_offset(s) >= 0 && !network.gate_reached(s)) {
            names.push_back(all[static_cast<std::size_t>(s)]);
        }
    }
    return names;
}

RunDescription describe_setup(const Setup& setup) {
    RunDescription d;
    d.job = setup.job.resolved();
    d.job_hash = setup.job.hash();
    d.model = setup.job.model.name;
    d.method = setup.job.method.label();
    d.data_sha256 = setup.set.sha256;
    d.devices = "cpu";
    d.seed = setup.job.seed;
    d.total_steps = setup.total_steps();
    const ParameterSet& parameters = setup.network->parameters();
    d.parameters_equivariant = parameters.count(ParameterKind::equivariant);
    d.parameters_free = parameters.count(ParameterKind::free) + parameters.count(ParameterKind::gate);
    d.sites = setup.network->site_names();
    d.task_weights = setup.network->tasks().weighted();
    d.out_of_distribution = !setup.set.samples(data::Split::out_of_distribution).empty();
    d.headline = headline_of(setup);
    const std::string& units = setup.set.field(setup.network->model().target().name).units;
    d.output_units = units.empty() ? "1" : units;
    d.symmetry = symmetry_quantities(d.output_units);
    d.more = {{"data_file", setup.set.path}, {"group", group_text(setup.set.group)}};
    if (const std::vector<std::string> names = unreached_sites(*setup.network); !names.empty()) {
        d.more.emplace_back("sites_without_task_gradient", join(names, ", "));
    }
    return d;
}

} // namespace tether::run
