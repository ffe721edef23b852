// Numbers of parameters as the specification states them, by kind; sites and their gates.
#include "tests/models/recorded_model.hpp"
#include "tether/models/egnn.hpp"
#include "tether/models/egno.hpp"
#include "tether/models/gnn.hpp"
#include "tether/models/mlp.hpp"
#include "tether/models/segnn.hpp"
#include "tether/models/transformer.hpp"

#include <gtest/gtest.h>

#include <set>

namespace tether::test {
namespace {

using layers::Gate;

models::SegnnSettings molecules() {
    models::SegnnSettings s;
    s.task = models::SegnnTask::graph;
    s.hidden = symmetry::weight_balanced_irreps(64, 3, 2);
    s.layers = 5;
    s.lmax_attributes = 3;
    s.harmonics = symmetry::Normalisation::component;
    s.instance_norm = true;
    return s;
}

// {equivariant, free and gates}
std::pair<Index, Index> counts(const models::Model& model, Gate gate) {
    const RecordedModel m(model, gate);
    return {m.parameters.count(ParameterKind::equivariant),
            m.parameters.count(ParameterKind::free) + m.parameters.count(ParameterKind::gate)};
}

TEST(Counts, segnn_for_particles) {
    const models::Segnn model{models::SegnnSettings{}};
    EXPECT_EQ(counts(model, Gate::trained), (std::pair<Index, Index>{147424, 790536}));
    EXPECT_EQ(counts(model, Gate::absent), (std::pair<Index, Index>{147424, 0}));
    EXPECT_EQ(counts(model, Gate::constant), (std::pair<Index, Index>{147424, 790528}))
        << "without the 8 gates";
    EXPECT_EQ(counts(model, Gate::controlled), (std::pair<Index, Index>{147424, 790528}));
}

TEST(Counts, segnn_for_molecules) {
    EXPECT_EQ(molecules().hidden.to_string(), "18x0e+18x1o+18x2e");
    const models::Segnn model(molecules());
    EXPECT_EQ(counts(model, Gate::trained), (std::pair<Index, Index>{189163, 1581130}));
    const RecordedModel m(model, Gate::absent);
    Index norm = 0;
    for (const Parameter& p : m.parameters.all()) {
        norm += p.name.find("feature_norm") != std::string::npos ? p.size : 0;
    }
    EXPECT_EQ(norm, 360);
}

TEST(Counts, egnn) {
    const models::Egnn model{models::EgnnSettings{}};
    EXPECT_EQ(counts(model, Gate::trained), (std::pair<Index, Index>{134020, 19640}));
    EXPECT_EQ(counts(model, Gate::absent), (std::pair<Index, Index>{134020, 0}));
}

// All parameters of an unconstrained network are free ones.
TEST(Counts, transformer) {
    EXPECT_EQ(counts(models::Transformer({}), Gate::absent), (std::pair<Index, Index>{0, 9240387}));
    EXPECT_EQ(counts(models::Transformer({.multi_query = false}), Gate::absent),
              (std::pair<Index, Index>{0, 11827587}));
}

TEST(Counts, graph_network_and_perceptron) {
    const auto linear = [](Index in, Index out) { return (in + 1) * out; };
    const Index d = 64;
    const Index layer = linear(2 * d + 2, d) + linear(d, d) + linear(2 * d, d) + linear(d, d);
    EXPECT_EQ(counts(models::Gnn({}), Gate::absent).second,
              linear(7, d) + 4 * layer + linear(d, d) + linear(d, 3));
    EXPECT_EQ(counts(models::Mlp({}), Gate::absent).second,
              linear(35, 680) + 2 * linear(680, 680) + linear(680, 15));
}

TEST(Counts, egnn_for_motion) {
    // One more column (the height) in the first map of each branch.
    const models::Egnn model{models::EgnnSettings{.motion = true}};
    EXPECT_EQ(counts(model, Gate::trained), (std::pair<Index, Index>{134020 + 64, 19640 + 64}));
}

TEST(Counts, egno) {
    const models::Egno model{models::EgnoSettings{}};
    EXPECT_EQ(counts(model, Gate::trained), (std::pair<Index, Index>{1192684, 112078}));
    EXPECT_EQ(counts(model, Gate::absent), (std::pair<Index, Index>{1192684, 0}));
}

TEST(Counts, every_site_is_recorded_once_and_has_its_gate) {
    const models::Segnn particles{models::SegnnSettings{}};
    const models::Segnn graphs(molecules());
    const models::Egnn egnn{models::EgnnSettings{}};
    const models::Egno egno{models::EgnoSettings{}};
    for (const auto& [model, number] :
         {std::pair<const models::Model*, Index>{&particles, 8}, {&graphs, 10}, {&egnn, 8}, {&egno, 12}}) {
        const RecordedModel m(*model, Gate::trained);
        EXPECT_EQ(m.recorded_sites, number);
        EXPECT_EQ(m.parameters.count(ParameterKind::gate), number);
        std::set<std::string> names;
        for (const layers::SiteInfo& site : model->sites()) {
            EXPECT_TRUE(names.insert(site.name).second) << site.name;
            const int gate = m.parameters.find(site.gate);
            ASSERT_GE(gate, 0) << site.gate;
            EXPECT_EQ(m.parameters.at(gate).kind, ParameterKind::gate);
            EXPECT_EQ(m.weights[static_cast<std::size_t>(m.parameters.at(gate).offset)], 1.0)
                << "gates start from 1";
        }
        EXPECT_EQ(RecordedModel(*model, Gate::absent).recorded_sites, 0);
    }
}

// The free branches change nothing about what the equivariant weights start from.
TEST(Counts, equivariant_weights_start_alike_with_and_without_branches) {
    const models::Segnn model{models::SegnnSettings{}};
    const RecordedModel strict(model, Gate::absent), relaxed(model, Gate::trained);
    for (const Parameter& p : strict.parameters.all()) {
        const Parameter& q = relaxed.parameters.at(relaxed.parameters.find(p.name));
        const auto a = strict.weights.begin() + p.offset;
        ASSERT_TRUE(std::equal(a, a + p.size, relaxed.weights.begin() + q.offset)) << p.name;
    }
}

} // namespace
} // namespace tether::test
