// From a job to the objects that do the work: data set, model, method, network.
#pragma once

#include "tether/data/batch_order.hpp"
#include "tether/data/graph_set.hpp"
#include "tether/run/job.hpp"
#include "tether/run/network.hpp"

#include <memory>

namespace tether::run {

// Throws Error(usage) for settings that make no network.
[[nodiscard]] std::shared_ptr<const models::Model> make_model(const Job& job);

// The model under the method; Error(usage) where they do not fit.
[[nodiscard]] std::unique_ptr<Network> make_network(const Job& job, const methods::Method& method);

// From data_copy where that is given: a copy of the job's data file (nearer to the reader).
[[nodiscard]] data::GraphSet open_data(const Job& job, const std::string& data_copy = {});

// Everything a job needs before the first step.
struct Setup {
    Job job;
    data::GraphSet set;
    std::unique_ptr<methods::Method> method;
    std::unique_ptr<Network> network;

    explicit Setup(Job job, const std::string& data_copy = {});

    [[nodiscard]] data::BatchOrder batch_order() const;
    [[nodiscard]] Index steps_per_epoch() const;
    [[nodiscard]] Index total_steps() const; // epochs, or fewer by train.steps
    // One over the number of loss terms of these samples: of a training batch, of an evaluation.
    [[nodiscard]] double loss_factor_of(std::span<const Index> samples) const;
    [[nodiscard]] double evaluation_factor_of(std::span<const Index> samples) const;
    // Samples that evaluation hands to the network at once: whole batches where a field depends on them.
    [[nodiscard]] Index evaluation_chunk(bool on_device) const;
    // Rows of the largest batch (graphs, nodes, edges), for costs.
    struct Rows {
        Index graphs = 0, nodes = 0, edges = 0;
    };
    [[nodiscard]] Rows rows_of(std::span<const Index> samples) const;
    // A step, on average, has so many rows that each of its matrix products fills a device: the share of one of
    // so many ranks, or, where all numbers of ranks are to give the same bits (parallel.order = "tree"), the
    // whole.
    [[nodiscard]] bool fills_devices(int ranks) const;
};

} // namespace tether::run
