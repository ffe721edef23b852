// SEGNN, steerable E(3) message passing (Brandstetter et al., ICLR 2022), with the free branches of
// ACE; spec: models, section 2. Node task (N-body): fields position, velocity [3], charge [1];
// graph task (molecules): fields position [3], feature [species one-hot].
// Order of sites: layer 0 update 1, layer 0 update 2, layer 1 update 1, ...
#pragma once

#include "tether/models/model.hpp"
#include "tether/symmetry/harmonics.hpp"
#include "tether/symmetry/irreps.hpp"

namespace tether::models {

enum class SegnnTask : unsigned char { node, graph };

struct SegnnSettings {
    SegnnTask task = SegnnTask::node;
    symmetry::Irreps hidden = symmetry::Irreps::parse("32x0e+32x1o");
    Index layers = 4;
    int lmax_attributes = 1;
    symmetry::Normalisation harmonics = symmetry::Normalisation::integral;
    bool instance_norm = false;
    Index species = 5; // width of `feature`, graph task only
};

class Segnn : public Model {
public:
    explicit Segnn(SegnnSettings settings);
    [[nodiscard]] std::vector<layers::SiteInfo> sites() const override;
    Value record(Recording& r) const override;
    [[nodiscard]] FieldInfo target() const override;
    [[nodiscard]] LossKind loss() const override;
    [[nodiscard]] Work step_work(Index graphs, Index nodes, Index edges, bool branches) const override;
    [[nodiscard]] std::vector<Index> published_columns(const std::string& output) const override;

private:
    SegnnSettings settings_;
    symmetry::Irreps attributes_;
};

// Edge attributes Y(x_sender - x_receiver), node attributes (mean over incoming edges, plus Y(v)
// where given, entry 0 set to 1) and the difference itself.
struct SegnnAttributes {
    Value edge, node, difference;
};
SegnnAttributes segnn_attributes(Builder& b, Value position, std::optional<Value> velocity, int lmax,
                                 symmetry::Normalisation harmonics);

} // namespace tether::models
