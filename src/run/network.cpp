#include "tether/run/network.hpp"

#include "tether/core/error.hpp"
#include "tether/layers/normalised.hpp"
#include "tether/ops/elementwise.hpp"
#include "tether/ops/loss.hpp"
#include "tether/ops/times.hpp"
#include "tether/program/rematerialise.hpp"
#include "tether/run/turning.hpp"

#include <algorithm>

namespace tether::run {
namespace {

NetworkOptions with_tasks(NetworkOptions options, const methods::Tasks& tasks) {
    options.tasks = tasks;
    return options;
}

void output_sites(Builder& b, const std::vector<layers::RecordedSite>& sites) {
    for (const layers::RecordedSite& site : sites) {
        const std::string name = probe_prefix + std::to_string(site.number);
        std::vector<Value> entering;
        for (const layers::Carried& part : site.entering) {
            entering.push_back(part.value);
        }
        b.output(name + "/entering",
                 entering.size() == 1 ? ops::scale(b, entering.front(), 1) : ops::concatenate(b, entering));
        b.output(name + "/equivariant", site.equivariant.value);
        b.output(name + "/free", site.free);
    }
}

} // namespace

Network::Network(std::shared_ptr<const models::Model> model, const methods::Method& method,
                 NetworkOptions options)
    : Network(std::move(model), method.sites(), &method, with_tasks(options, method.tasks())) {}

Network::Network(std::shared_ptr<const models::Model> model, const methods::SitePolicy& policy,
                 NetworkOptions options)
    : Network(std::move(model), policy, nullptr, options) {}

Network::Network(std::shared_ptr<const models::Model> model, const methods::SitePolicy& policy,
                 const methods::Method* method, NetworkOptions options)
    : model_(std::move(model)), sites_(model_->sites()), policy_(policy), options_(options) {
    training_ = record(Use::training, method);
    projected_ = record(Use::projected, method);
    relaxed_ = record(Use::relaxed, method);
    parameters_.scale_initial(ParameterKind::free, policy_.free_scale);
    const auto& buffers = states_.all();
    for (const layers::SiteInfo& site : sites_) {
        const int number = policy_.gate == layers::Gate::trained ? parameters_.find(site.gate) : -1;
        gate_offset_.push_back(number < 0 ? -1 : parameters_.at(number).offset);
        const auto buffer = std::ranges::find(buffers, site.gate, &StateBuffer::name);
        gate_state_offset_.push_back(buffer == buffers.end() ? -1 : buffer->offset);
    }
}

Value Network::record_task(Builder& b, Use use, const methods::Method* method, const std::string& prefix,
                           bool keep, std::vector<layers::RecordedSite>& recorded) {
    const models::FieldInfo target_field = model_->target();
    Value target = b.input(prefix + target_field.name, target_field.extent, target_field.columns);
    layers::SitePlan plan{.gate = use == Use::projected ? layers::Gate::absent : policy_.gate,
                          .initial_gate = policy_.initial_gamma,
                          .branch = policy_.branch};
    if (use == Use::training && method != nullptr && policy_.gate == layers::Gate::state) {
        const bool vector = is_vector_field(target_field.name, target_field.columns);
        const layers::Carried carried{target, vector
                                                  ? symmetry::Representation::vectors()
                                                  : symmetry::Representation::scalars(target_field.columns)};
        plan.record_gate = [method, carried](Builder& builder, const layers::SiteInfo& info,
                                             const layers::RecordedSite& site) {
            return method->record_gate({builder, info, site, carried});
        };
    }
    layers::Sites sites(model_->sites(), std::move(plan));
    models::Recording r{b, sites};
    r.training = use == Use::training && options_.batch_statistics;
    r.keep = options_.keep && keep;
    r.input_gradients = use == Use::training && options_.input_gradients;
    r.given_features = options_.given_features;
    r.prefix = prefix;
    const Value prediction = model_->record(r);
    recorded = sites.recorded();
    Value compared = prediction;
    if (const Index times = evaluated_extent().times;
        use != Use::training && times < target_field.extent.times) {
        target = ops::last_times(b, target, times);
        compared = ops::last_times(b, prediction, times);
    }
    if (use != Use::training || r.keep) {
        b.output("prediction", prediction);
    }
    const Value factor = b.control(loss_factor);
    return model_->loss() == models::LossKind::squared ? ops::squared_error(b, compared, target, factor)
                                                       : ops::absolute_error(b, compared, target, factor);
}

std::unique_ptr<Program> Network::record(Use use, const methods::Method* method) {
    Builder b(parameters_, states_);
    const methods::Tasks tasks = use == Use::training ? options_.tasks : methods::Tasks{};
    std::vector<layers::RecordedSite> sites;
    std::vector<layers::RecordedSite> turned_sites;
    Value loss = record_task(b, use, method, tasks.plain ? "" : turned_prefix, true, sites);
    b.sum("loss", loss);
    if (tasks.weighted()) {
        check(states_.all().empty(), "several tasks on a network with running statistics");
        const Value turned = record_task(b, use, method, turned_prefix, false, turned_sites);
        b.sum("turned_loss", turned);
        loss = ops::add(b, {ops::scale_by(b, loss, b.control(std::string(task_weight) + "0")),
                            ops::scale_by(b, turned, b.control(std::string(task_weight) + "1"))});
    }
    if (use == Use::training) {
        if (method != nullptr) {
            method->record({b, sites});
        }
        b.differentiate(loss);
        if (options_.input_gradients) {
            for (std::size_t v = 0; v < b.program().values.size(); ++v) {
                const ValueInfo i = b.program().values[v];
                const Value gradient = b.gradient_of({static_cast<int>(v)});
                if (i.kind == ValueKind::input && i.needs_gradient && gradient.valid()) {
                    input_gradients_[i.name] = gradient;
                    b.output("gradient_input/" + i.name, gradient);
                }
            }
        }
    }
    if (use == Use::probe) {
        output_sites(b, sites);
    }
    auto program = std::make_unique<Program>(b.finish());
    if (use == Use::training && tasks.weighted()) {
        find_task_gradients(*program);
    }
    rematerialise(*program);
    return program;
}

std::unique_ptr<Program> Network::record_probe() {
    check(sites() > 0, "this network has no sites to be probed");
    return record(Use::probe, nullptr);
}

// The reverse pass meets the task recorded last first: its part of a shared weight's gradient goes to the
// gradient itself, the part of the other one to an extra place.
void Network::find_task_gradients(const Program& program) {
    const std::string name = model_->last_weight();
    if (name.empty()) {
        return;
    }
    const int number = parameters_.find(name);
    check(number >= 0, "model: its last weight {} is no parameter", name);
    const Parameter& p = parameters_.at(number);
    std::vector<Index> extra;
    for (const ValueInfo& v : program.values) {
        if (v.kind == ValueKind::extra_gradient && v.name == name) {
            extra.push_back(v.offset);
        }
    }
    check(extra.size() == 1, "model: its last weight {} is used {} times in each task, expected once", name,
          (extra.size() + 1) / 2);
    task_gradients_ = {{trained_size() + program.sum_columns() + extra.front(), p.size}, {p.offset, p.size}};
}

Extent Network::evaluated_extent() const {
    Extent extent = target_extent();
    if (const Index last = model_->evaluated_times(); last > 0) {
        extent.times = std::min(extent.times, last);
    }
    return extent;
}

Index Network::sites() const {
    return policy_.gate == methods::Gate::absent ? 0 : static_cast<Index>(sites_.size());
}

std::vector<std::string> Network::site_names() const {
    std::vector<std::string> names;
    if (sites() > 0) {
        for (const layers::SiteInfo& site : sites_) {
            names.push_back(site.name);
        }
    }
    return names;
}

bool Network::gate_reached(Index site) const {
    const Index at = gate_offset(site);
    return std::ranges::any_of(training_->reached,
                               [&](const auto& range) { return range.first <= at && at < range.second; });
}

Value Network::input_gradient(const std::string& field) const {
    const auto found = input_gradients_.find(field);
    return found == input_gradients_.end() ? Value{} : found->second;
}

template <class T>
void Network::initialise(std::uint64_t seed, std::vector<T>& trained, std::vector<T>& state) const {
    trained.assign(static_cast<std::size_t>(trained_size()), static_cast<T>(policy_.initial_u));
    parameters_.initialise(seed, std::span<T>(trained));
    states_.initialise(state, seed);
    layers::initialise_spectral(parameters_, states_, seed, trained, state);
}

template void Network::initialise<float>(std::uint64_t, std::vector<float>&, std::vector<float>&) const;
template void Network::initialise<double>(std::uint64_t, std::vector<double>&, std::vector<double>&) const;

} // namespace tether::run
