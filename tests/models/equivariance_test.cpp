// Projected networks under random elements of their group (O(3), or what leaves the vertical axis in
// place; improper ones too), translations and permutations of the nodes: 1e-5 relative in float, 1e-12
// in double. With all gates at 1 they clearly break it;
// with all gates at 0 the relaxed network is the projected one, bit for bit.
#include "tests/models/recorded_model.hpp"
#include "tether/models/egnn.hpp"
#include "tether/models/egno.hpp"
#include "tether/models/segnn.hpp"
#include "tether/symmetry/groups.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace tether::test {
namespace {

using layers::Gate;
using models::SegnnSettings;
using models::SegnnTask;
using symmetry::Irreps;

struct Network {
    std::string name;
    std::shared_ptr<const models::Model> model;
    bool translates; // the N-body SEGNN reads absolute positions and does not
    symmetry::Group group = {};
    [[nodiscard]] bool upright() const { return group.kind == symmetry::GroupKind::o2; }
};

std::vector<Network> networks() {
    const symmetry::Group upright{symmetry::GroupKind::o2, {0, 1, 0}}; // they read the height, y
    SegnnSettings particles;
    particles.hidden = Irreps::parse("8x0e+8x1o");
    SegnnSettings two = particles;
    two.hidden = Irreps::parse("5x0e+5x1o+5x2e");
    two.lmax_attributes = 3;
    two.layers = 2;
    SegnnSettings molecules = two;
    molecules.task = SegnnTask::graph;
    molecules.harmonics = symmetry::Normalisation::component;
    molecules.instance_norm = true;
    SegnnSettings uneven = particles; // parities and multiplicities of all kinds
    uneven.hidden = Irreps::parse("6x0e+2x0o+3x1o+4x1e+1x2e");
    uneven.lmax_attributes = 2;
    uneven.layers = 2;
    return {{"segnn", std::make_shared<models::Segnn>(particles), false},
            {"segnn_lmax2", std::make_shared<models::Segnn>(two), false},
            {"segnn_uneven", std::make_shared<models::Segnn>(uneven), false},
            {"segnn_molecules", std::make_shared<models::Segnn>(molecules), true},
            {"egnn", std::make_shared<models::Egnn>(models::EgnnSettings{24, 3}), true},
            {"egnn_motion", std::make_shared<models::Egnn>(models::EgnnSettings{24, 3, true}), true, upright},
            {"egno", std::make_shared<models::Egno>(models::EgnoSettings{.hidden = 24, .layers = 3}), true,
             upright}};
}

std::vector<Graph> some_graphs() {
    Graph ring{6}; // sparse, irregular, node 5 without edges
    ring.edges = {{0, 1}, {1, 0}, {1, 2}, {2, 1}, {2, 3}, {3, 2}, {3, 0}, {0, 3}, {4, 0}, {0, 2}};
    return {complete_graph(5), ring, complete_graph(3), Graph{1}, complete_graph(5)};
}

// EGNN starts with coordinate updates of 1e-3: make them as large as the positions, so that what is
// tested is more than that the identity is equivariant.
void enlarge(RecordedModel& m) {
    for (const Parameter& p : m.parameters.all()) {
        if (p.name.ends_with("coord_mlp.2.weight")) {
            for (Index k = 0; k < p.size; ++k) {
                m.weights[static_cast<std::size_t>(p.offset + k)] *= 300;
            }
        }
    }
}

class Equivariance : public testing::TestWithParam<std::size_t> {
protected:
    Network network = networks()[GetParam()];

    // Largest error over several elements: predictions of transformed particles against transformed
    // predictions.
    template <class T>
    double error(const RecordedModel& m, bool move, bool turn = true) const {
        return error<T>(m, network.group, move, turn, !network.upright());
    }
    template <class T>
    double error(const RecordedModel& m, const symmetry::Group& group, bool move, bool turn,
                 bool lift) const {
        RandomStream random(11, Purpose::test);
        double worst = 0;
        for (std::uint64_t k = 0; k < 6; ++k) {
            const Particles p = random_particles(some_graphs(), k);
            symmetry::O3Element g = turn ? group.random(random) : symmetry::O3Element{{1, 0, 0, 0}, 1};
            while (turn && g.determinant != (k % 2 == 0 ? -1 : 1)) { // both kinds, whatever is drawn
                g = group.random(random);
            }
            symmetry::Vector3 shift{0, 0, 0};
            for (double& s : shift) {
                s = move ? 2 * random.normal() : 0;
            }
            shift[1] = lift ? shift[1] : 0;
            Particles q = p;
            q.field["position"] = transformed(p.field.at("position"), g.matrix(), shift);
            q.field["velocity"] = transformed(p.field.at("velocity"), g.matrix());
            derive_height(q);
            Rows right = m.run<T>(p);
            if (m.columns == 3) {
                right = transformed(right, g.matrix(), shift);
            }
            worst = std::max(worst, relative_error(m.run<T>(q), right));
        }
        return worst;
    }
};

TEST_P(Equivariance, projected_under_its_group) {
    RecordedModel m(*network.model, Gate::absent);
    enlarge(m);
    EXPECT_LT(error<float>(m, network.translates), 1e-5);
    EXPECT_LT(error<double>(m, network.translates), 1e-12);
    // The prediction is no trivial one.
    const Particles p = random_particles(some_graphs(), 3);
    const Rows y = m.run<double>(p);
    if (m.columns == 3) {
        Rows still;
        for (Index i = 0; i < p.batch.rows(Axis::node); ++i) {
            for (Index k = 0; k < m.extent.times * 3; ++k) {
                still.push_back(p.field.at("position")[static_cast<std::size_t>(3 * i + k % 3)]);
            }
        }
        ASSERT_EQ(still.size(), y.size());
        EXPECT_GT(relative_error(still, y), 1e-2);
    }
    double low = y[0];
    double high = y[0];
    for (const double x : y) {
        low = std::min(low, x);
        high = std::max(high, x);
    }
    EXPECT_GT(high - low, 1e-3);
}

TEST_P(Equivariance, absolute_positions_are_read_where_the_model_says_so) {
    RecordedModel m(*network.model, Gate::absent);
    enlarge(m);
    if (network.translates) {
        EXPECT_LT(error<double>(m, true, false), 1e-12);
    } else {
        EXPECT_GT(error<double>(m, true, false), 1e-3);
    }
}

TEST_P(Equivariance, the_height_leaves_no_larger_group) {
    RecordedModel m(*network.model, Gate::absent);
    enlarge(m);
    if (network.upright()) {
        EXPECT_GT(error<double>(m, {}, false, true, false), 1e-3) << "turns about other axes";
        EXPECT_GT(error<double>(m, network.group, true, false, true), 1e-3) << "lifts";
    } else {
        EXPECT_LT(error<double>(m, {symmetry::GroupKind::o2, {0, 1, 0}}, false, true, false), 1e-12);
    }
}

TEST_P(Equivariance, relaxed_clearly_breaks_it) {
    RecordedModel m(*network.model, Gate::constant);
    enlarge(m);
    EXPECT_GT(error<double>(m, false), 1e-3);
    EXPECT_GT(error<float>(m, false), 1e-3);
}

TEST_P(Equivariance, gates_at_zero_give_the_projected_network_bitwise) {
    RecordedModel projected(*network.model, Gate::absent);
    RecordedModel relaxed(*network.model, Gate::trained, 0.0);
    enlarge(projected);
    enlarge(relaxed);
    const Particles p = random_particles(some_graphs(), 5);
    EXPECT_EQ(projected.run<float>(p), relaxed.run<float>(p));
    EXPECT_EQ(projected.run<double>(p), relaxed.run<double>(p));
    // And gates at 1 the one whose branches have no gate.
    RecordedModel one(*network.model, Gate::trained, 1.0), ungated(*network.model, Gate::constant);
    EXPECT_LT(relative_error(one.run<double>(p), ungated.run<double>(p)), 1e-14);
}

TEST_P(Equivariance, under_permutations_of_the_nodes) {
    for (const Gate gate : {Gate::absent, Gate::constant}) {
        RecordedModel m(*network.model, gate);
        enlarge(m);
        RandomStream random(21, Purpose::test);
        for (std::uint64_t k = 0; k < 4; ++k) {
            const Particles p = random_particles(some_graphs(), 40 + k);
            Particles q = p;
            std::vector<std::size_t> to; // node -> its new number
            for (Graph& g : q.batch.lanes[0]) {
                const std::size_t first = to.size();
                std::vector<int> order(static_cast<std::size_t>(g.nodes));
                for (std::size_t i = 0; i < order.size(); ++i) {
                    order[i] = static_cast<int>(i);
                }
                for (std::size_t i = order.size(); i > 1; --i) {
                    std::swap(order[i - 1], order[random.below(i)]);
                }
                for (auto& [sender, receiver] : g.edges) {
                    sender = order[static_cast<std::size_t>(sender)];
                    receiver = order[static_cast<std::size_t>(receiver)];
                }
                for (const int i : order) {
                    to.push_back(first + static_cast<std::size_t>(i));
                }
            }
            const auto permuted = [&](const Rows& rows) {
                const std::size_t columns = rows.size() / to.size();
                Rows out(rows.size());
                for (std::size_t i = 0; i < to.size(); ++i) {
                    std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(i * columns), columns,
                                out.begin() + static_cast<std::ptrdiff_t>(to[i] * columns));
                }
                return out;
            };
            for (auto& [name, rows] : q.field) {
                if (name != "kind") {
                    rows = permuted(rows);
                }
            }
            derive_kind(q);
            const bool per_node = m.extent.axis == Axis::node;
            for (const bool single : {true, false}) {
                const Rows before = single ? m.run<float>(p) : m.run<double>(p);
                const Rows after = single ? m.run<float>(q) : m.run<double>(q);
                EXPECT_LT(relative_error(after, per_node ? permuted(before) : before), single ? 1e-5 : 1e-12);
            }
        }
    }
}

// Graphs do not see each other.
TEST_P(Equivariance, predictions_do_not_depend_on_the_rest_of_the_batch) {
    RecordedModel m(*network.model, Gate::constant);
    enlarge(m);
    const Particles p = random_particles(some_graphs(), 9);
    const Rows together = m.run<float>(p);
    std::size_t node = 0;
    std::size_t graph = 0;
    for (const Graph& g : p.batch.lanes[0]) {
        const auto size = static_cast<std::size_t>(g.nodes);
        Particles alone{{"alone", {{g}}}, {}};
        for (const auto& [name, rows] : p.field) {
            if (name == "kind") {
                continue;
            }
            const std::size_t columns = rows.size() / static_cast<std::size_t>(p.batch.rows(Axis::node));
            alone.field[name].assign(rows.begin() + static_cast<std::ptrdiff_t>(node * columns),
                                     rows.begin() + static_cast<std::ptrdiff_t>((node + size) * columns));
        }
        derive_kind(alone);
        const bool per_node = m.extent.axis == Axis::node;
        const std::size_t first =
            (per_node ? node : graph) * static_cast<std::size_t>(m.extent.times * m.columns);
        const Rows own = m.run<float>(alone);
        for (std::size_t i = 0; i < own.size(); ++i) {
            ASSERT_EQ(own[i], together[first + i]) << "graph " << graph << ", entry " << i;
        }
        node += size;
        ++graph;
    }
}

std::string label(const testing::TestParamInfo<std::size_t>& tested) { return networks()[tested.param].name; }

INSTANTIATE_TEST_SUITE_P(models, Equivariance, testing::Range(std::size_t{0}, std::size_t{7}), label);

TEST(EquivarianceList, is_tested_to_the_end) { EXPECT_EQ(networks().size(), 7U); }

} // namespace
} // namespace tether::test
