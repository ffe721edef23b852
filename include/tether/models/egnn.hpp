// EGNN with velocities (Satorras, Hoogeboom, Welling, ICML 2021; N-body form), spec: models,
// section 3. Node fields: position, velocity [3] and charge [1], or height [1] and a kind [1] of every
// edge (motion capture); or, with given features, position, velocity, node_feature = |v| (and height),
// edge_feature [2] = (q_i q_j or kind, |x_i-x_j|²).
// Sites per layer: one on h and one on x, in the form of EGNO (nothing is published for EGNN).
#pragma once

#include "tether/models/model.hpp"

namespace tether::models {

struct EgnnSettings {
    Index hidden = 64;
    Index layers = 4;
    bool motion = false; // height and kind instead of charge
};

class Egnn : public Model {
public:
    explicit Egnn(const EgnnSettings& settings) : settings_(settings) {}
    [[nodiscard]] std::vector<layers::SiteInfo> sites() const override;
    Value record(Recording& r) const override;
    [[nodiscard]] FieldInfo target() const override { return {"target", {Axis::node, 1}, 3}; }
    [[nodiscard]] LossKind loss() const override { return LossKind::squared; }
    [[nodiscard]] Work step_work(Index graphs, Index nodes, Index edges, bool branches) const override;

private:
    EgnnSettings settings_;
};

// One layer, for tests of its own: new h and x from h, x, v and edge features.
struct EgnnLayerState {
    Value h, x, message;
};
EgnnLayerState egnn_layer(Builder& b, const std::string& name, Value h, Value x, Value velocity,
                          Value edge_feature, Index hidden);

} // namespace tether::models
