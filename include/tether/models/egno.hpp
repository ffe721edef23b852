// EGNO, the equivariant graph neural operator (Xu et al., ICML 2024), on motion capture, with the free
// branches of ACE; spec: models, section 4. All rows stand for `times` output times (Extent::times):
// a time attends to itself only, except in the spectral convolutions along time.
// Fields of a node: position, velocity [3], height [1] (divided by its maximum over the whole batch);
// of an edge: kind [1] (1 bone, 2 two bones apart); target position_later [times x 3]. With given
// features: node_feature [2] = (|v|, height), edge_feature [2] = (kind, |x_i-x_j|²), position_mean [3].
// Order of sites: h of all layers, then x of all layers. The loss does not reach the last one on h.
#pragma once

#include "tether/models/model.hpp"

namespace tether::models {

struct EgnoSettings {
    Index hidden = 128;
    Index layers = 6;
    Index times = 5;
    Index modes = 2;          // frequencies of the convolutions along time
    Index time_features = 32; // sines and cosines of the time
};

class Egno : public Model {
public:
    explicit Egno(const EgnoSettings& settings) : settings_(settings) {}
    [[nodiscard]] std::vector<layers::SiteInfo> sites() const override;
    Value record(Recording& r) const override;
    [[nodiscard]] FieldInfo target() const override {
        return {"position_later", {Axis::node, settings_.times}, 3};
    }
    [[nodiscard]] LossKind loss() const override { return LossKind::squared; }
    [[nodiscard]] Index evaluated_times() const override { return 1; }
    [[nodiscard]] Work step_work(Index graphs, Index nodes, Index edges, bool branches) const override;

private:
    EgnoSettings settings_;
};

// (x - mean, v) convolved along time with one complex 2x2 matrix per frequency, shared by x, y and z.
struct EgnoMotion {
    Value x, v;
};
EgnoMotion egno_time_convolution(Builder& b, const std::string& name, const EgnoMotion& m, Value mean,
                                 Index modes);

// One message layer, for tests of its own: new h and x from h, x, v and edge features of any times.
struct EgnoLayerState {
    Value h, x;
};
EgnoLayerState egno_layer(Builder& b, const std::string& name, Value h, Value x, Value velocity,
                          Value edge_feature, Index hidden);

} // namespace tether::models
