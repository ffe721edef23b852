// What a model is to the rest of the house: a list of sites and a way to record its forward pass.
// A model reads named fields of the batch; it knows neither methods nor data formats.
#pragma once

#include "tether/core/settings.hpp"
#include "tether/layers/site.hpp"
#include "tether/program/builder.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace tether::models {

enum class LossKind : unsigned char { squared, absolute };

// A field that a model reads.
struct FieldInfo {
    std::string name;
    Extent extent;
    Index columns = 0;
};

// Where a model is being recorded.
struct Recording {
    Builder& b;
    layers::Sites& sites;
    bool training = false;        // batch statistics, power iterations
    bool keep = false;            // named intermediates become outputs (parity)
    bool input_gradients = false; // inputs need gradients (parity, measures)
    // Features that training derives from raw inputs (|v|, q_i q_j, ...) come as fields instead.
    bool given_features = false;

    std::string prefix = {}; // of the names of fields: the same model on other rows

    Value input(const FieldInfo& f) { return b.input(prefix + f.name, f.extent, f.columns, input_gradients); }
    void output(const std::string& name, Value v) {
        if (keep) {
            b.output(name, v);
        }
    }
};

// Least known work of one training step of this model (performance.md): edge work moved to nodes,
// nothing recomputed, from the shapes alone. flop counts a multiply-add as two.
struct Work {
    double flop = 0;
    double bytes = 0;
};

class Model {
public:
    Model() = default;
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;
    virtual ~Model() = default;
    [[nodiscard]] virtual std::vector<layers::SiteInfo> sites() const = 0;
    // Records the forward pass; returns the prediction, rows and columns as the target field.
    virtual Value record(Recording& r) const = 0;
    [[nodiscard]] virtual FieldInfo target() const = 0;
    [[nodiscard]] virtual LossKind loss() const = 0;
    // Targets of several times: training takes the mean over all, evaluation over the last so many; 0: all.
    [[nodiscard]] virtual Index evaluated_times() const { return 0; }
    // For one batch of this size, with or without the free branches.
    [[nodiscard]] virtual Work step_work(Index graphs, Index nodes, Index edges, bool branches) const = 0;
    // The weight matrix nearest to the output that all tasks share, by name, where the balance of several
    // losses is read (methods: remul); empty: none is named.
    [[nodiscard]] virtual std::string last_weight() const { return {}; }
    // Nodes that a graph may have; 0: any number.
    [[nodiscard]] virtual Index most_nodes() const { return 0; }
    // How the rows of an intermediate output lie inside compared with the published order; empty: same.
    [[nodiscard]] virtual std::vector<Index> published_columns(const std::string& output) const {
        (void)output;
        return {};
    }
};

} // namespace tether::models
