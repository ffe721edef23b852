#include "eval_sites.hpp"

#include "tether/cli/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace tether::cli {
namespace {

struct Site {
    std::string name;
    double gamma, lambda, u, ratio, free_size, lipschitz, free_lipschitz;
    bool reached; // by the task loss; otherwise the gate says nothing about the data
};

// The dearest first: by |lambda|, then in the order of the network.
std::vector<Site> ranked(const run::StoredRun& run, const run::ProbeResult& probe) {
    const std::vector<std::string> names = run.network().site_names();
    std::vector<Site> sites;
    for (std::size_t i = 0; i < names.size(); ++i) {
        const run::SiteNumbers& n = run.sites();
        sites.push_back({names[i], run.numbers().gates[i], n.lambda[i],
                         n.u.empty() ? std::numeric_limits<double>::quiet_NaN() : n.u[i],
                         probe.sites.ratio[i], probe.sites.free_size[i], probe.sites.lipschitz[i],
                         probe.sites.free_lipschitz[i],
                         run.network().gate_offset(static_cast<Index>(i)) < 0 ||
                             run.network().gate_reached(static_cast<Index>(i))});
    }
    std::ranges::stable_sort(sites, std::ranges::greater{}, [](const Site& s) { return std::abs(s.lambda); });
    return sites;
}

} // namespace

nlohmann::json sites_json(const run::StoredRun& run, const run::ProbeResult& probe) {
    nlohmann::json list = nlohmann::json::array();
    int rank = 0;
    for (const Site& s : ranked(run, probe)) {
        list.push_back({{"site", s.name},
                        {"rank", ++rank},
                        {"gamma", s.gamma},
                        {"lambda", s.lambda},
                        {"branch_ratio", s.ratio},
                        {"free_size", s.free_size},
                        {"lipschitz", s.lipschitz},
                        {"free_lipschitz", s.free_lipschitz},
                        {"task_gradient", s.reached}});
        if (!std::isnan(s.u)) {
            list.back()["u"] = s.u;
        }
    }
    const methods::BoundConstants& c = probe.constants;
    return {{"list", std::move(list)},
            {"constants_are", "estimates: largest ratios observed on a probe batch"},
            {"equivariance_bound", probe.equivariance_bound},
            {"truncation_bound", probe.truncation_bound},
            {"truncation", probe.truncation},
            {"constants",
             {{"gate", c.gate},
              {"lipschitz", c.lipschitz},
              {"free_lipschitz", c.free_lipschitz},
              {"free_size", c.free_size},
              {"input_norm", c.input_norm}}}};
}

std::string sites_text(const run::StoredRun& run, const run::ProbeResult& probe, const std::string& units) {
    std::vector<std::vector<std::string>> rows{
        {"site", "gamma", "lambda", "u", "|free|/|eq|", "Lipschitz eq", "Lipschitz free"}};
    for (const Site& s : ranked(run, probe)) {
        rows.push_back({s.name + (s.reached ? "" : " (no task gradient)"), short_number(s.gamma),
                        short_number(s.lambda), short_number(s.u), short_number(s.ratio),
                        short_number(s.lipschitz), short_number(s.free_lipschitz)});
    }
    std::string text =
        "sites by multiplier, on a probe batch (Lipschitz constants: largest ratios observed)\n" +
        table_text(rows, "lrrrrrr");
    text += text.ends_with('\n') ? "" : "\n";
    return text +
           fmt::format(
               "bounds with these estimates: {:.3e}{} of a sample's equivariance error, {:.3e}{} of what "
               "branches change (found: {:.3e}{})\n",
               probe.equivariance_bound, units, probe.truncation_bound, units, probe.truncation, units);
}

} // namespace tether::cli
