#include "tether/run/setup.hpp"

#include "tether/core/error.hpp"
#include "tether/core/text.hpp"
#include "tether/data/data_sets.hpp"
#include "tether/models/registry.hpp"
#include "tether/run/filling.hpp"

#include <algorithm>

namespace tether::run {

std::shared_ptr<const models::Model> make_model(const Job& job) {
    const data::DataSet& set = data::find_data_set(job.data.set);
    return models::find_model(job.model.name).make(job.model, {"data set " + set.choice.word, set.fields});
}

std::unique_ptr<Network> make_network(const Job& job, const methods::Method& method) {
    std::shared_ptr<const models::Model> model = make_model(job);
    const bool sites = !model->sites().empty();
    if ((method.needs() == methods::Needs::sites && !sites) ||
        (method.needs() == methods::Needs::no_sites && sites)) {
        std::vector<std::string> others;
        for (const std::string& name : methods::method_names()) {
            const methods::Needs needs = methods::make_method({.name = name})->needs();
            if (needs == methods::Needs::nothing || (needs == methods::Needs::sites) == sites) {
                others.push_back(name);
            }
        }
        fail(ExitCode::usage, "{}: method '{}' {}, but model '{}' {}; methods for it: {}",
             job.origin("method.name"), method.name(),
             sites ? "is for unconstrained networks" : "decides about the free branches of a network",
             job.model.name, sites ? "has free branches" : "is unconstrained and has none",
             join(others, ", "));
    }
    return std::make_unique<Network>(std::move(model), method);
}

data::GraphSet open_data(const Job& job, const std::string& data_copy) {
    Settings settings = job.data;
    const std::string file = job.data_file();
    data::GraphSet set = data::open_data_set(job.data.set, data_copy.empty() ? file : data_copy, settings);
    set.path = file; // what messages and the run file name stays when the copy is gone
    return set;
}

namespace {

// Every field that the network reads is there, and as wide.
void check_fields(const Setup& setup) {
    const Program& program = setup.network->training();
    const std::vector<int> numbers = field_numbers(setup.set, program);
    for (const ValueInfo& v : program.values) {
        if (v.kind != ValueKind::input || numbers[static_cast<std::size_t>(v.offset)] < 0) {
            continue;
        }
        const data::Field& field =
            setup.set.fields[static_cast<std::size_t>(numbers[static_cast<std::size_t>(v.offset)])];
        check(field.axis == v.extent.axis && field.width == v.extent.times * v.columns, ExitCode::usage,
              "{}: field {} has {} numbers in a row; the network takes {} times of {}", setup.set.path,
              field.name, field.width, v.extent.times, v.columns);
    }
}

double one_over_terms(const Setup& setup, std::span<const Index> samples, Extent extent) {
    Index rows = 0;
    for (const Index s : samples) {
        rows += extent.axis == Axis::graph
                    ? 1
                    : (extent.axis == Axis::node ? setup.set.nodes(s) : setup.set.edges(s));
    }
    return 1 / static_cast<double>(std::max<Index>(1, rows * extent.times * setup.network->target_columns()));
}

} // namespace

Setup::Setup(Job j, const std::string& data_copy)
    : job(std::move(j)), set(open_data(job, data_copy)), method(methods::make_method(job.method_settings())) {
    network = make_network(job, *method);
    const std::vector<Index>& train = set.samples(data::Split::train);
    check(!train.empty(), ExitCode::data, "{}: no training samples", set.path);
    check_fields(*this);
    const Index most = network->model().most_nodes();
    for (Index s = 0; most > 0 && s < set.graphs(); ++s) {
        check(set.nodes(s) <= most, ExitCode::usage, "{}: model.nodes = {}, but sample {} of {} has {} nodes",
              job.origin("model.nodes"), most, s, set.path, set.nodes(s));
    }
}

data::BatchOrder Setup::batch_order() const {
    return {set.samples(data::Split::train), job.data.batch, static_cast<std::uint64_t>(job.seed),
            job.data.drop_last};
}

Index Setup::steps_per_epoch() const { return batch_order().steps_per_epoch(); }

Index Setup::total_steps() const {
    const Index all = job.train.epochs * steps_per_epoch();
    return job.train.steps > 0 ? std::min(all, job.train.steps) : all;
}

double Setup::loss_factor_of(std::span<const Index> samples) const {
    return one_over_terms(*this, samples, network->target_extent());
}

double Setup::evaluation_factor_of(std::span<const Index> samples) const {
    return one_over_terms(*this, samples, network->evaluated_extent());
}

Index Setup::evaluation_chunk(bool on_device) const {
    const Index usual = on_device ? 200 // enough to fill one, few enough for its memory and for many ranks
                                  : 50; // small enough that a chunk's activations stay near the core
    const bool whole = std::ranges::any_of(field_numbers(set, network->training()), [&](int number) {
        return number >= 0 && set.fields[static_cast<std::size_t>(number)].over_batch_maximum;
    });
    return whole ? job.data.batch : usual;
}

bool Setup::fills_devices(int ranks) const {
    // Tiles of 32 rows (kernels/product.hpp), two for each of 128 multiprocessors.
    constexpr Index nodes_of_a_device = Index{2} * 128 * 32;
    const Index shares = job.parallel.order == SumOrder::tree ? 1 : ranks;
    return set.graphs() > 0 && job.data.batch * set.nodes() / set.graphs() / shares >= nodes_of_a_device;
}

Setup::Rows Setup::rows_of(std::span<const Index> samples) const {
    Rows rows;
    for (const Index s : samples) {
        ++rows.graphs;
        rows.nodes += set.nodes(s);
        rows.edges += set.edges(s);
    }
    return rows;
}

} // namespace tether::run
