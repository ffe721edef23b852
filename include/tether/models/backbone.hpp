// What the unconstrained networks (transformer, gnn, mlp; spec: models, section 8) have in common: plain
// features of the nodes in, coordinates out. Positions are taken relative to the mean of their graph,
// predictions are added to it, so that translations play no role; rotations are left to the training
// method (free, augment, remul). There are no sites: all parameters count as free.
#pragma once

#include "tether/models/model.hpp"
#include "tether/models/registry.hpp"

#include <string>

namespace tether::models {

// Where features come from and predictions go.
struct BackboneFields {
    std::string scalar = "charge"; // one number per node, the first column
    Index given = 0;               // > 0: so many columns of field `feature` instead, predictions as they are
    FieldInfo target = {"target", {Axis::node, 1}, 3};
};

// What the data offer for it; Error(usage) where they have no positions and velocities.
[[nodiscard]] BackboneFields backbone_fields(const OfferedFields& fields);

class Backbone : public Model {
public:
    explicit Backbone(BackboneFields fields) : fields_(std::move(fields)) {}
    [[nodiscard]] std::vector<layers::SiteInfo> sites() const override { return {}; }
    [[nodiscard]] FieldInfo target() const override { return fields_.target; }
    [[nodiscard]] LossKind loss() const override { return LossKind::squared; }
    Value record(Recording& r) const final;

protected:
    // From the node features [scalar, position - mean, velocity] to the columns of the target.
    virtual Value network(Recording& r, Value features) const = 0;
    // Multiply-adds of one forward pass and parameters, for step_work.
    [[nodiscard]] static Work work_of(double multiply_adds, double kept, double parameters);
    [[nodiscard]] Index inputs() const { return fields_.given > 0 ? fields_.given : 7; }
    [[nodiscard]] Index outputs() const { return fields_.target.columns * fields_.target.extent.times; }
    [[nodiscard]] const BackboneFields& fields() const { return fields_; }

private:
    BackboneFields fields_;
};

} // namespace tether::models
