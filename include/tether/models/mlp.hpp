// The plainest unconstrained network: all nodes of a graph as one row, hidden layers with SiLU, all
// coordinates out (spec: models, section 8). Nodes are told apart by their number; a graph with fewer
// nodes than the network was made for is filled up with zeros.
#pragma once

#include "tether/models/backbone.hpp"

namespace tether::models {

struct MlpSettings {
    Index hidden = 680;
    Index layers = 3;
    Index nodes = 5; // of the largest graph
    BackboneFields fields = {};
};

class Mlp : public Backbone {
public:
    explicit Mlp(const MlpSettings& settings) : Backbone(settings.fields), settings_(settings) {}
    [[nodiscard]] Work step_work(Index graphs, Index nodes, Index edges, bool branches) const override;
    [[nodiscard]] std::string last_weight() const override;
    [[nodiscard]] Index most_nodes() const override { return settings_.nodes; }

protected:
    Value network(Recording& r, Value features) const override;

private:
    MlpSettings settings_;
};

} // namespace tether::models
