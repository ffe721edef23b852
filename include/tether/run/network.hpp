// A model under a method: its parameters and the recorded programs for each use (design 5). Training
// has the branches that the method wants and the reverse pass; the projected evaluation has no
// branches at all; the relaxed one has them with the trained gates.
#pragma once

#include "tether/methods/method.hpp"
#include "tether/models/model.hpp"
#include "tether/program/executor.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tether::run {

struct NetworkOptions {
    bool keep = false;            // intermediates under their published names become outputs
    bool input_gradients = false; // fields of the training program need gradients
    bool given_features = false;
    bool batch_statistics = true; // of the training program; false: running ones, as in evaluation
    methods::Tasks tasks = {};    // of the training program
};

// The control scalar every loss is multiplied with: one over the number of terms in the global batch.
inline constexpr const char* loss_factor = "loss_factor";
// Weights of the tasks, where there are several: controls of this name and a number.
inline constexpr const char* task_weight = "task_weight";
// Fields of the training program that hold the turned samples: this and the field's name in the data.
inline constexpr const char* turned_prefix = "turned/";

// Outputs of record_probe().
inline constexpr const char* probe_prefix = "site";

// Where the gradient of a task with respect to the last weight matrix lies in the vector that is summed
// over all lanes, before the parts of that gradient are added.
struct TaskGradient {
    Index first = 0, size = 0;
};

class Network {
public:
    // As the method wants it: gates, branches, tasks, and what it records itself.
    Network(std::shared_ptr<const models::Model> model, const methods::Method& method,
            NetworkOptions options = {});
    // Under a policy that asks for nothing but gates and branches.
    Network(std::shared_ptr<const models::Model> model, const methods::SitePolicy& policy,
            NetworkOptions options = {});
    Network(const Network&) = delete;
    Network& operator=(const Network&) = delete;

    [[nodiscard]] const models::Model& model() const { return *model_; }
    [[nodiscard]] const methods::SitePolicy& policy() const { return policy_; }
    [[nodiscard]] const ParameterSet& parameters() const { return parameters_; }
    [[nodiscard]] const StateSet& states() const { return states_; }
    [[nodiscard]] const Program& training() const { return *training_; }
    [[nodiscard]] const Program& projected() const { return *projected_; }
    [[nodiscard]] const Program& relaxed() const { return *relaxed_; }

    // Sites that have a gate in training (none for methods without branches).
    [[nodiscard]] Index sites() const;
    [[nodiscard]] std::vector<std::string> site_names() const;
    // Where gamma of a site lies in the flat vector; -1: it is not trained.
    [[nodiscard]] Index gate_offset(Index site) const { return gate_offset_[static_cast<std::size_t>(site)]; }
    // Where gamma of a site lies among the buffers; -1: it is no buffer (Gate::state).
    [[nodiscard]] Index gate_state_offset(Index site) const {
        return gate_state_offset_[static_cast<std::size_t>(site)];
    }
    // Whether the loss reaches the gate of a site (a gate without task gradient says nothing about data).
    [[nodiscard]] bool gate_reached(Index site) const;
    // Slacks, if any, lie behind the parameters: the length of the vector that is optimised.
    [[nodiscard]] Index slack_offset() const { return parameters_.size(); }
    [[nodiscard]] Index trained_size() const { return parameters_.size() + (policy_.slack ? sites() : 0); }
    [[nodiscard]] const methods::Tasks& tasks() const { return options_.tasks; }
    // Plain, turned; empty unless the tasks are weighted and the model names its last weight.
    [[nodiscard]] const std::vector<TaskGradient>& task_gradients() const { return task_gradients_; }
    // Number of loss terms per target row.
    [[nodiscard]] Index target_columns() const { return model_->target().columns; }
    [[nodiscard]] Extent target_extent() const { return model_->target().extent; }
    // Of the loss that the projected and the relaxed program have (Model::evaluated_times).
    [[nodiscard]] Extent evaluated_extent() const;
    // Value ids of the training program's inputs, by field name (for their gradients).
    [[nodiscard]] Value input_gradient(const std::string& field) const;

    // The relaxed program with what enters each site and both its branches as outputs: probe_prefix, the
    // number of the site, "/entering", "/equivariant", "/free". Throws Error(usage) where there are no sites.
    [[nodiscard]] std::unique_ptr<Program> record_probe();

    // Initial parameters (and slacks) and buffers: pure functions of the seed.
    template <class T>
    void initialise(std::uint64_t seed, std::vector<T>& trained, std::vector<T>& state) const;

private:
    enum class Use { training, projected, relaxed, probe };
    Network(std::shared_ptr<const models::Model> model, const methods::SitePolicy& policy,
            const methods::Method* method, NetworkOptions options);
    std::unique_ptr<Program> record(Use use, const methods::Method* method);
    // Records one task; its mean loss. `recorded`: its sites.
    Value record_task(Builder& b, Use use, const methods::Method* method, const std::string& prefix,
                      bool keep, std::vector<layers::RecordedSite>& recorded);
    void find_task_gradients(const Program& program);

    std::shared_ptr<const models::Model> model_;
    std::vector<layers::SiteInfo> sites_; // of the model, whatever the method
    methods::SitePolicy policy_;
    NetworkOptions options_;
    ParameterSet parameters_;
    StateSet states_;
    std::unique_ptr<Program> training_, projected_, relaxed_;
    std::vector<Index> gate_offset_, gate_state_offset_;
    std::map<std::string, Value> input_gradients_;
    std::vector<TaskGradient> task_gradients_;
};

} // namespace tether::run
