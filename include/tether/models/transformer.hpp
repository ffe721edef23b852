// The transformer of the GATr baselines (Brehmer et al., NeurIPS 2023), spec: models, section 8. Tokens
// are the nodes, attention stays inside a graph, no positional encoding. Per block
//     h += out(attention(LN h)),   h += W2 gelu(W1 LN h)
// LayerNorm without weights, every Linear with a bias, no norm before the last map.
#pragma once

#include "tether/models/backbone.hpp"

namespace tether::models {

struct TransformerSettings {
    Index hidden = 384;
    Index heads = 8;
    Index head_channels = 48;
    Index blocks = 10;
    bool multi_query = true; // one key and value head for all queries
    BackboneFields fields = {};
};

class Transformer : public Backbone {
public:
    explicit Transformer(const TransformerSettings& settings)
        : Backbone(settings.fields), settings_(settings) {}
    [[nodiscard]] Work step_work(Index graphs, Index nodes, Index edges, bool branches) const override;
    [[nodiscard]] std::string last_weight() const override { return "linear_out.weight"; }

protected:
    Value network(Recording& r, Value features) const override;

private:
    TransformerSettings settings_;
};

} // namespace tether::models
