// Unconstrained networks: translations play no role, rotations do; nodes may be renumbered where they
// are not told apart; graphs do not see each other.
#include "tests/models/recorded_model.hpp"
#include "tether/core/error.hpp"
#include "tether/models/gnn.hpp"
#include "tether/models/mlp.hpp"
#include "tether/models/transformer.hpp"
#include "tether/symmetry/groups.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

namespace tether::test {
namespace {

struct Network {
    std::string name;
    std::shared_ptr<const models::Model> model;
    bool renumbers = true;
};

std::vector<Network> networks() {
    const models::TransformerSettings small{.hidden = 12, .heads = 3, .head_channels = 4, .blocks = 2};
    models::TransformerSettings several = small;
    several.multi_query = false;
    return {{"transformer", std::make_shared<models::Transformer>(small)},
            {"transformer_multi_head", std::make_shared<models::Transformer>(several)},
            {"gnn", std::make_shared<models::Gnn>(models::GnnSettings{16, 2})},
            {"mlp", std::make_shared<models::Mlp>(models::MlpSettings{24, 2, 6}), false}};
}

std::vector<Graph> some_graphs() {
    return {complete_graph(5), complete_graph(3), Graph{1}, complete_graph(6)};
}

class Backbones : public testing::TestWithParam<std::size_t> {
protected:
    Network network = networks()[GetParam()];
    RecordedModel model{*network.model, layers::Gate::absent};
};

TEST_P(Backbones, move_with_their_graph_and_do_not_turn_with_it) {
    EXPECT_TRUE(network.model->sites().empty());
    const Particles p = random_particles(some_graphs(), 3);
    Particles moved = p;
    const symmetry::Matrix one = symmetry::rotation_matrix({});
    const symmetry::Vector3 shift{3, -2, 0.5};
    moved.field["position"] = transformed(p.field.at("position"), one, shift);
    EXPECT_LT(relative_error(model.run<double>(moved), transformed(model.run<double>(p), one, shift)), 1e-12);
    EXPECT_LT(relative_error(model.run<float>(moved), transformed(model.run<float>(p), one, shift)), 1e-5);
    RandomStream random(1, Purpose::test);
    const symmetry::Matrix g = symmetry::random_o3(random).matrix();
    Particles turned = p;
    for (const char* field : {"position", "velocity"}) {
        turned.field[field] = transformed(p.field.at(field), g);
    }
    EXPECT_GT(relative_error(model.run<double>(turned), transformed(model.run<double>(p), g)), 1e-3);
}

TEST_P(Backbones, nodes_renumbered) {
    Particles p = random_particles({complete_graph(5)}, 4);
    const Rows before = model.run<double>(p);
    const std::vector<std::size_t> order{2, 4, 0, 3, 1};
    const auto permuted = [&](const Rows& rows) {
        Rows out;
        const std::size_t columns = rows.size() / order.size();
        for (const std::size_t i : order) {
            const auto first = rows.begin() + static_cast<std::ptrdiff_t>(i * columns);
            out.insert(out.end(), first, first + static_cast<std::ptrdiff_t>(columns));
        }
        return out;
    };
    for (auto& [name, rows] : p.field) {
        rows = permuted(rows);
    }
    const double error = relative_error(model.run<double>(p), permuted(before));
    EXPECT_EQ(error < 1e-12, network.renumbers) << error;
}

TEST_P(Backbones, predictions_do_not_depend_on_the_rest_of_the_batch) {
    const Particles p = random_particles(some_graphs(), 9);
    const Rows together = model.run<float>(p);
    std::size_t node = 0;
    for (const Graph& g : p.batch.lanes[0]) {
        const auto size = static_cast<std::size_t>(g.nodes);
        Particles alone{{"alone", {{g}}}, {}};
        for (const auto& [name, rows] : p.field) {
            const std::size_t columns = rows.size() / static_cast<std::size_t>(p.batch.rows(Axis::node));
            const auto first = rows.begin() + static_cast<std::ptrdiff_t>(node * columns);
            alone.field[name].assign(first, first + static_cast<std::ptrdiff_t>(size * columns));
        }
        const Rows own = model.run<float>(alone);
        for (std::size_t i = 0; i < own.size(); ++i) {
            ASSERT_EQ(own[i], together[node * 3 + i]) << "graph at node " << node << ", entry " << i;
        }
        node += size;
    }
}

INSTANTIATE_TEST_SUITE_P(models, Backbones, testing::Range(std::size_t{0}, std::size_t{4}),
                         [](const auto& tested) { return networks()[tested.param].name; });

TEST(Mlp, says_when_a_graph_is_too_large) {
    const RecordedModel model(models::Mlp({16, 1, 4}), layers::Gate::absent);
    try {
        (void)model.run<double>(random_particles({complete_graph(5)}, 1));
        ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("5 nodes"), std::string::npos) << error.what();
    }
}

TEST(Backbone, says_which_fields_it_misses) {
    EXPECT_EQ(models::backbone_fields({"data set x", {"position", "velocity", "height"}}).scalar, "height");
    try {
        (void)models::backbone_fields({"data set x", {"position", "feature"}});
        ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("velocity"), std::string::npos) << error.what();
    }
}

} // namespace
} // namespace tether::test
