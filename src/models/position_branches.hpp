// The free branches of EGNO and EGNN (spec: models, section 4): a chain of features q_k and a map of
// absolute coordinates per layer, under their published names.
#pragma once

#include "tether/layers/linear.hpp"
#include "tether/layers/normalised.hpp"
#include "tether/layers/site.hpp"
#include "tether/ops/elementwise.hpp"

#include <string>
#include <vector>

namespace tether::models {

inline std::string numbered(const std::string& name, Index k) { return name + "." + std::to_string(k); }

// All sites on h, then all on x.
inline std::vector<layers::SiteInfo> position_sites(Index layers) {
    std::vector<layers::SiteInfo> sites;
    for (const char* what : {"h", "x"}) {
        for (Index k = 0; k < layers; ++k) {
            sites.push_back(
                {"layer" + std::to_string(k) + "." + what, numbered(std::string("gammas_") + what, k)});
        }
    }
    return sites;
}

// q_0 = Linear of the raw node features
inline Value feature_branch_start(Builder& b, Value features, Index hidden) {
    return layers::linear(b, "pos_linear_h", {features}, hidden, {.kind = ParameterKind::free});
}

// q_k = SN-Linear(BatchNorm(q_{k-1}))
inline Value feature_branch(Builder& b, Index k, Value q, Index hidden, bool training) {
    const std::string name = numbered("pos_interactions_h", k);
    const Value normal = layers::batch_norm(b, name + ".0", q, ParameterKind::free, training);
    return layers::spectral_linear(b, name + ".1", normal, hidden, ParameterKind::free, training);
}

// p = Linear 3->3 (shared), BatchNorm, SN-Linear 3->hidden, SiLU, BatchNorm, SN-Linear hidden->3
inline Value coordinate_branch(Builder& b, Index k, Value x, Index hidden, bool training) {
    const std::string name = numbered("pos_interactions_x", k);
    const ParameterKind kind = ParameterKind::free;
    const Value p = layers::linear(b, "pos_linear_x", {x}, 3, {.kind = kind});
    const Value first = layers::spectral_linear(
        b, name + ".1", layers::batch_norm(b, name + ".0", p, kind, training), hidden, kind, training);
    const Value activated = ops::activation(b, first, Activation::silu);
    const Value second = layers::batch_norm(b, name + ".3", activated, kind, training);
    return layers::spectral_linear(b, name + ".4", second, 3, kind, training);
}

} // namespace tether::models
