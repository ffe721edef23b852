// The unconstrained graph network: EGNN without coordinate updates, positions and velocities as plain
// inputs, a head to coordinates (spec: models, section 8). Per layer, with e_ij = [s_i s_j, |x_i-x_j|²]
// of the input frame (s: the scalar of the nodes):
//     m_ij = SiLU MLP([h_i, h_j, e_ij]),   h_i += phi_h([h_i, sum_j m_ij])
#pragma once

#include "tether/models/backbone.hpp"

namespace tether::models {

struct GnnSettings {
    Index hidden = 64;
    Index layers = 4;
    BackboneFields fields = {};
};

class Gnn : public Backbone {
public:
    explicit Gnn(const GnnSettings& settings) : Backbone(settings.fields), settings_(settings) {}
    [[nodiscard]] Work step_work(Index graphs, Index nodes, Index edges, bool branches) const override;
    [[nodiscard]] std::string last_weight() const override { return "head.2.weight"; }

protected:
    Value network(Recording& r, Value features) const override;

private:
    GnnSettings settings_;
};

} // namespace tether::models
