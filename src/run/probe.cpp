#include "tether/run/probe.hpp"

#include "tether/core/error.hpp"
#include "tether/data/collate.hpp"
#include "tether/run/evaluation.hpp"
#include "tether/run/turning.hpp"

#include <algorithm>
#include <cmath>

namespace tether::run {
namespace {

constexpr Index probe_samples = 16;

std::string output_name(Index site, const char* what) {
    return probe_prefix + std::to_string(site) + "/" + what;
}

template <class T>
std::vector<double> copied(std::span<const T> values) {
    return {values.begin(), values.end()};
}

// First row of each sample among rows of an extent.
std::vector<std::int32_t> sample_begin(const Topology& topology, Extent extent) {
    check(extent.axis == Axis::node || extent.axis == Axis::graph,
          "probe: rows of nodes or graphs were expected");
    std::vector<std::int32_t> begin = topology.node_begin;
    for (std::size_t g = 0; g < begin.size(); ++g) {
        begin[g] = (extent.axis == Axis::node ? begin[g] : static_cast<std::int32_t>(g)) *
                   static_cast<std::int32_t>(extent.times);
    }
    return begin;
}

} // namespace

void ProbeResult::encode(std::vector<double>& to) const {
    to.insert(to.end(),
              {equivariance_bound, truncation_bound, truncation, constants.gate, constants.lipschitz,
               constants.free_lipschitz, constants.free_size, constants.input_norm});
    for (const auto* figures : {&sites.ratio, &sites.free_size, &sites.lipschitz, &sites.free_lipschitz}) {
        to.insert(to.end(), figures->begin(), figures->end());
    }
}

ProbeResult ProbeResult::decode(std::span<const double> from) {
    constexpr std::size_t head = 8;
    check(from.size() >= head && (from.size() - head) % 4 == 0, ExitCode::peer, "probe of sites: {} numbers",
          from.size());
    ProbeResult r;
    r.equivariance_bound = from[0];
    r.truncation_bound = from[1];
    r.truncation = from[2];
    r.constants.gate = from[3];
    r.constants.lipschitz = from[4];
    r.constants.free_lipschitz = from[5];
    r.constants.free_size = from[6];
    r.constants.input_norm = from[7];
    const std::size_t sites = (from.size() - head) / 4;
    std::span<const double> rest = from.subspan(head);
    for (auto* figures : {&r.sites.ratio, &r.sites.free_size, &r.sites.lipschitz, &r.sites.free_lipschitz}) {
        figures->assign(rest.begin(), rest.begin() + static_cast<Index>(sites));
        rest = rest.subspan(sites);
    }
    return r;
}

template <class T>
SiteProbe<T>::SiteProbe(const Setup& setup)
    : setup_(setup), program_(setup.network->record_probe()), executor_(*program_),
      projected_(setup.network->projected()), packed_(*program_),
      packed_projected_(setup.network->projected()) {
    const std::vector<Index>& all = setup.set.samples(data::Split::validation);
    samples_.assign(all.begin(), all.begin() + std::min<Index>(probe_samples, std::ssize(all)));
    data::collate(setup.set, setup.set.field_numbers(program_->fields), samples_, 1, 0, 1, part_);
    std::vector<symmetry::O3Element> elements;
    draw_elements(setup.set.group, static_cast<std::uint64_t>(setup.job.seed), Purpose::measurement, 0,
                  samples_, elements);
    turned_ = part_;
    turn<T>(turned_, program_->fields, elements);
}

template <class T>
void SiteProbe<T>::run(const Program& program, HostExecutor<T>& executor, PackedWeights<T>& packed,
                       const BatchPart<T>& part, std::span<const T> parameters, std::span<const T> state,
                       std::span<const double> controlled_gates) {
    const std::vector<T> control = evaluation_control<T>(program, controlled_gates);
    executor.run(part, {.parameters = parameters.data(),
                        .state = state.data(),
                        .control = control.data(),
                        .packed = packed.data()});
}

template <class T>
std::vector<methods::SiteRows> SiteProbe<T>::rows() const {
    std::vector<methods::SiteRows> out;
    for (Index s = 0; s < setup_.network->sites(); ++s) {
        out.push_back({copied(executor_.output(output_name(s, "entering"))),
                       copied(executor_.output(output_name(s, "equivariant"))),
                       copied(executor_.output(output_name(s, "free")))});
    }
    return out;
}

template <class T>
ProbeResult SiteProbe<T>::measure(std::span<const T> parameters, std::span<const T> state,
                                  std::span<const double> gamma, std::span<const double> controlled_gates) {
    const Program& projected = setup_.network->projected();
    packed_.renew(parameters.data());
    packed_projected_.renew(parameters.data());
    run(*program_, executor_, packed_, part_, parameters, state, controlled_gates);
    const std::vector<methods::SiteRows> plain = rows();
    const std::vector<double> relaxed_output = copied(executor_.output("prediction"));
    run(*program_, executor_, packed_, turned_, parameters, state, controlled_gates);
    const std::vector<methods::SiteRows> turned = rows();
    // The projected program reads fields in its own order.
    BatchPart<T> part;
    data::collate(setup_.set, setup_.set.field_numbers(projected.fields), samples_, 1, 0, 1, part);
    run(projected, projected_, packed_projected_, part, parameters, state, controlled_gates);
    const std::vector<double> projected_output = copied(projected_.output("prediction"));

    methods::SiteMeasure measure(setup_.network->sites());
    for (Index s = 0; s < setup_.network->sites(); ++s) {
        const Extent extent = program_->info(program_->outputs.at(output_name(s, "free"))).extent;
        measure.add(s, plain[static_cast<std::size_t>(s)], turned[static_cast<std::size_t>(s)],
                    sample_begin(part_.topology, extent));
    }
    ProbeResult result;
    result.sites = measure.figures();
    result.constants = methods::estimated_constants(result.sites, gamma);
    result.equivariance_bound = methods::equivariance_bound(result.constants);
    result.truncation_bound = methods::truncation_bound(result.constants);
    const std::vector<std::int32_t> begin = sample_begin(part_.topology, setup_.network->target_extent());
    const auto columns = static_cast<std::size_t>(setup_.network->target_columns());
    for (std::size_t g = 0; g + 1 < begin.size(); ++g) {
        double squared = 0;
        for (std::size_t i = static_cast<std::size_t>(begin[g]) * columns;
             i < static_cast<std::size_t>(begin[g + 1]) * columns; ++i) {
            squared += std::pow(relaxed_output[i] - projected_output[i], 2);
        }
        result.truncation = std::max(result.truncation, std::sqrt(squared));
    }
    return result;
}

template class SiteProbe<float>;
template class SiteProbe<double>;

} // namespace tether::run
