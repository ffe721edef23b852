// `schedule`: gate and penalty against independent values (reference/methods), against finite differences,
// and what must hold for any numbers: equivariant maps cost nothing, turned maps cost the same.
#include "tether/methods/schedule.hpp"

#include "tests/support/reference.hpp"
#include "tether/core/hdf5.hpp"
#include "tether/core/philox.hpp"
#include "tether/methods/bracket.hpp"
#include "tether/methods/method.hpp"
#include "tether/symmetry/groups.hpp"
#include "tether/symmetry/wigner.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <numbers>
#include <string>
#include <vector>

namespace tether::methods {
namespace {

using Json = nlohmann::json;
using symmetry::Irreps;
using symmetry::Layout;
using symmetry::Representation;
using Numbers = std::vector<double>;

std::vector<std::string> files_with(const std::string& probe) {
    std::vector<std::string> files;
    for (const std::string& file : test::reference_files("methods")) {
        const hdf5::Reader reader(file);
        if (reader.text_attribute("/", "model") == "methods: schedule" && reader.has(probe)) {
            files.push_back(file);
        }
    }
    return files;
}

Numbers random_numbers(RandomStream& random, Index n) {
    Numbers values(static_cast<std::size_t>(n));
    for (double& x : values) {
        x = random.normal();
    }
    return values;
}

// Sums over rows in the layout of ops::gram.
Numbers moments_of(const ops::GramLayout& layout, const Numbers& rows) {
    Numbers out(static_cast<std::size_t>(layout.size()), 0.0);
    const Index n = layout.width();
    const auto count = static_cast<Index>(rows.size()) / n;
    for (Index s = 0; s < count; ++s) {
        const double* x = rows.data() + s * n;
        for (const auto& block : layout.blocks()) {
            for (Index i = 0; i < block.rows; ++i) {
                for (Index j = 0; j < block.columns; ++j) {
                    out[static_cast<std::size_t>(block.offset + i * block.columns + j)] +=
                        x[block.row + i] * x[block.column + j];
                }
            }
        }
        for (Index k = 0; k < n; ++k) {
            out[static_cast<std::size_t>(layout.sum_offset() + k)] += x[k];
        }
    }
    out[static_cast<std::size_t>(layout.count_offset())] = static_cast<double>(count);
    return out;
}

// Maps with everything the penalty needs of them.
struct Problem {
    std::vector<BracketSite> sites;
    std::vector<Numbers> weight, bias, moments; // no bias: empty
    std::vector<Numbers> weight_gradient, bias_gradient;
    bool backwards = false; // parts in another order, as several threads may take them
    Parallel parallel = [](int parts, const std::function<void(int)>& task) {
        for (int part = parts - 1; part >= 0; --part) {
            task(part);
        }
    };

    void add(const std::vector<Representation>& in, const Representation& out, Bracket bracket, Numbers w,
             Numbers b, const Numbers& rows) {
        sites.emplace_back(in, out, bracket);
        moments.push_back(moments_of(sites.back().layout(), rows));
        weight.push_back(std::move(w));
        bias.push_back(std::move(b));
    }
    [[nodiscard]] double penalty(double kappa) {
        std::vector<BracketTerm<double>> terms;
        weight_gradient.clear();
        bias_gradient.clear();
        for (std::size_t s = 0; s < sites.size(); ++s) {
            weight_gradient.emplace_back(weight[s].size(), 0.0);
            bias_gradient.emplace_back(bias[s].size(), 0.0);
        }
        for (std::size_t s = 0; s < sites.size(); ++s) {
            terms.push_back({&sites[s], weight[s].data(), bias[s].empty() ? nullptr : bias[s].data(),
                             moments[s].data(), weight_gradient[s].data(), bias_gradient[s].data()});
        }
        return add_bracket_penalty<double>(kappa, terms, backwards ? &parallel : nullptr);
    }
    [[nodiscard]] BracketSite::Sums sums(std::size_t s) const {
        Numbers a(weight[s].size()), b(weight[s].size()), c(weight[s].size()), d(weight[s].size());
        std::vector<double> scratch;
        return sites[s].evaluate<double>(weight[s].data(), bias[s].empty() ? nullptr : bias[s].data(),
                                         moments[s].data(), {a.data(), c.data(), b.data(), d.data()},
                                         scratch);
    }
};

TEST(Schedule, parity_gate) {
    for (const std::string& file : files_with("E10")) {
        const hdf5::Reader reader(file);
        for (const std::string& group : reader.children("/")) {
            const Numbers theta = reader.doubles(group + "/theta");
            const auto epochs = static_cast<Index>(theta.size());
            ASSERT_EQ(group, "E" + std::to_string(epochs));
            MethodSettings settings{.name = "schedule"};
            const auto state =
                make_method(settings)->start({.sites = 2, .steps_per_epoch = 3, .epochs = epochs});
            const Control& control = state->control();
            for (Index step = 0; step < 3 * epochs; ++step) {
                const double expected = theta[static_cast<std::size_t>(step / 3)];
                ASSERT_EQ(schedule_gate(step / 3, epochs), expected) << group << " epoch " << step / 3;
                ASSERT_EQ(control.gamma()[1], expected) << group << " step " << step;
                state->advance({.step = step});
            }
        }
    }
}

// What the columns of a file's maps are: irreps of its settings, or vectors.
Representation representation_of(const Json& settings, Index columns) {
    if (!settings.contains("irreps_in")) {
        return Representation::vectors(columns / 3);
    }
    const Irreps in = Irreps::parse(settings["irreps_in"].get<std::string>());
    const Irreps out = Irreps::parse(settings["irreps_out"].get<std::string>());
    return {in.dim() == columns ? in : out, Layout::published};
}

Numbers dense(const Representation& r) {
    Numbers all;
    for (int axis = 0; axis < 3; ++axis) {
        Numbers m(static_cast<std::size_t>(r.columns() * r.columns()), 0.0);
        for (const auto& e : symmetry::generator(r, axis)) {
            m[static_cast<std::size_t>(e.row * r.columns() + e.column)] = e.value;
        }
        all.insert(all.end(), m.begin(), m.end());
    }
    return all;
}

TEST(Schedule, parity_penalty) {
    for (const std::string& file : files_with("exact")) {
        const hdf5::Reader reader(file);
        const Json settings = Json::parse(reader.text_attribute("/", "settings"));
        const double kappa = settings["kappa"];
        for (const Bracket bracket : {Bracket::exact, Bracket::released}) {
            const std::string group = bracket == Bracket::exact ? "exact" : "released";
            Problem problem;
            const std::vector<std::string> names = reader.children("/input");
            for (const std::string& name : names) {
                const std::string site = "/input/" + name;
                const std::vector<Index> shape = reader.shape(site + "/W");
                const Representation in = representation_of(settings, shape[1]);
                const Representation out = representation_of(settings, shape[0]);
                EXPECT_LE(test::disagreement(dense(in), reader.doubles(site + "/generator_in")), 1e-12);
                EXPECT_LE(test::disagreement(dense(out), reader.doubles(site + "/generator_out")), 1e-12);
                problem.add({in}, out, bracket, reader.doubles(site + "/W"),
                            reader.has(site + "/b") ? reader.doubles(site + "/b") : Numbers{},
                            reader.doubles(site + "/x"));
            }
            const double penalty = problem.penalty(kappa);
            EXPECT_LE(test::disagreement(Numbers{penalty}, reader.doubles(group + "/R")), 1e-10) << file;
            Numbers lie, size;
            for (std::size_t s = 0; s < names.size(); ++s) {
                lie.push_back(problem.sums(s).lie);
                size.push_back(problem.sums(s).size);
                const std::string gradient = group + "/gradient/" + names[s];
                EXPECT_LE(test::disagreement(problem.weight_gradient[s], reader.doubles(gradient + "/W")),
                          1e-10)
                    << file << " " << gradient;
                if (reader.has(gradient + "/b")) {
                    EXPECT_LE(test::disagreement(problem.bias_gradient[s], reader.doubles(gradient + "/b")),
                              1e-10)
                        << file << " " << gradient;
                }
            }
            EXPECT_LE(test::disagreement(lie, reader.doubles(group + "/LD")), 1e-10) << file;
            EXPECT_LE(test::disagreement(size, reader.doubles(group + "/NM")), 1e-10) << file;

            // An exactly equivariant map on the rows of the first site.
            const std::vector<Index> shape = reader.shape("/equivariant_map/W");
            Problem map;
            map.add({representation_of(settings, shape[1])}, representation_of(settings, shape[0]), bracket,
                    reader.doubles("/equivariant_map/W"), {}, reader.doubles("/input/site_0/x"));
            const BracketSite::Sums sums = map.sums(0);
            const double expected = reader.doubles("/equivariant_map/LD_" + group).at(0);
            EXPECT_NEAR(sums.lie, expected, 1e-10 * std::max(expected, sums.size)) << file;
            EXPECT_LE(test::disagreement(Numbers{sums.size}, reader.doubles("/equivariant_map/NM")), 1e-10);
            EXPECT_EQ(sums.lie > 1e-6 * sums.size, bracket == Bracket::released) << file;
        }
    }
}

const std::vector<std::vector<std::string>> shapes{
    {"3x0e+2x1o", "2x0e+2x1o"}, {"5x0e+2x1o+1x2e", "1x1o+3x0e+2x2e"}, {"1x3o+2x0e+1x1e", "1x3o+1x1e"}};

// Inputs in two parts, component-major as in the programs; rows of two lanes' worth.
Problem random_problem(RandomStream& random, Bracket bracket, bool bias) {
    Problem problem;
    for (const auto& shape : shapes) {
        const Representation first(Irreps::parse(shape[0]), Layout::component_major);
        const Representation out(Irreps::parse(shape[1]), Layout::component_major);
        const Representation second = Representation::vectors(2);
        const Index in = first.columns() + second.columns();
        problem.add({first, second}, out, bracket, random_numbers(random, in * out.columns()),
                    bias ? random_numbers(random, out.columns()) : Numbers{}, random_numbers(random, 9 * in));
    }
    return problem;
}

TEST(Schedule, gradient_of_the_penalty_is_that_of_finite_differences) {
    RandomStream random(11, Purpose::test);
    for (const Bracket bracket : {Bracket::exact, Bracket::released}) {
        for (const bool bias : {false, true}) {
            Problem problem = random_problem(random, bracket, bias);
            (void)problem.penalty(0.3);
            const auto weights = problem.weight_gradient;
            const auto biases = problem.bias_gradient;
            const auto check = [&](double& parameter, double expected) {
                constexpr double step = 1e-5;
                const double at = parameter;
                parameter = at + step;
                const double above = problem.penalty(0.3);
                parameter = at - step;
                const double below = problem.penalty(0.3);
                parameter = at;
                EXPECT_NEAR((above - below) / (2 * step), expected, 1e-7 * (1 + std::abs(expected)));
            };
            for (std::size_t s = 0; s < problem.sites.size(); ++s) {
                for (std::size_t k = 0; k < problem.weight[s].size(); k += 7) {
                    check(problem.weight[s][k], weights[s][k]);
                }
                for (std::size_t k = 0; k < problem.bias[s].size(); k += 3) {
                    check(problem.bias[s][k], biases[s][k]);
                }
            }
        }
    }
}

TEST(Schedule, penalty_does_not_depend_on_who_computes_the_sites) {
    RandomStream random(16, Purpose::test);
    Problem problem = random_problem(random, Bracket::released, true);
    const double penalty = problem.penalty(0.3);
    const auto weights = problem.weight_gradient;
    const auto biases = problem.bias_gradient;
    problem.backwards = true;
    EXPECT_EQ(problem.penalty(0.3), penalty);
    EXPECT_EQ(problem.weight_gradient, weights);
    EXPECT_EQ(problem.bias_gradient, biases);
}

TEST(Schedule, penalty_at_zero_has_gradient_zero) {
    Problem problem;
    RandomStream random(12, Purpose::test);
    problem.add({Representation::vectors(2)}, Representation::vectors(3), Bracket::exact, Numbers(54, 0.0),
                Numbers(9, 0.0), random_numbers(random, 30));
    EXPECT_EQ(problem.penalty(0.01), 0.0);
    EXPECT_EQ(problem.weight_gradient[0], Numbers(54, 0.0));
    EXPECT_EQ(problem.bias_gradient[0], Numbers(9, 0.0));
}

// Mixing copies of equal degree, whatever their parity, is equivariant under rotations.
TEST(Schedule, maps_that_mix_equal_degrees_cost_nothing) {
    RandomStream random(13, Purpose::test);
    const Representation in(Irreps::parse("3x0e+2x1o+1x1e+2x2e+1x0o"), Layout::component_major);
    const Representation out(Irreps::parse("2x1e+2x0e+1x2o+1x1o"), Layout::component_major);
    Numbers weight(static_cast<std::size_t>(in.columns() * out.columns()), 0.0);
    for (const symmetry::Piece& to : out.pieces()) {
        for (const symmetry::Piece& from : in.pieces()) {
            for (Index i = 0; i < to.copies && to.ir.l == from.ir.l; ++i) {
                for (Index j = 0; j < from.copies; ++j) {
                    const double value = random.normal();
                    for (Index m = 0; m < to.ir.dim(); ++m) {
                        weight[static_cast<std::size_t>(to.at(i, m) * in.columns() + from.at(j, m))] = value;
                    }
                }
            }
        }
    }
    const Numbers rows = random_numbers(random, 20 * in.columns());
    Problem problem;
    problem.add({in}, out, Bracket::exact, weight, {}, rows);
    const BracketSite::Sums sums = problem.sums(0);
    EXPECT_LE(sums.lie, 1e-24 * sums.size);
    weight[0] += 0.01; // a degree into another one
    problem.add({in}, out, Bracket::exact, weight, {}, rows);
    EXPECT_GT(problem.sums(1).lie, 1e-8 * sums.size);
}

// LD is the same under W -> D_out(g) W D_in(g)ᵀ, x -> D_in(g) x.
TEST(Schedule, penalty_does_not_know_the_frame) {
    RandomStream random(14, Purpose::test);
    const Irreps in = Irreps::parse("3x0e+2x1o+2x2e");
    const Irreps out = Irreps::parse("2x0e+2x1o+1x3o");
    const Index n = in.dim();
    const Numbers weight = random_numbers(random, n * out.dim());
    const Numbers rows = random_numbers(random, 15 * n);
    const symmetry::O3Element g{symmetry::random_rotation(random), 1};
    const auto d_in = symmetry::irreps_matrix(in, g);
    const auto d_out = symmetry::irreps_matrix(out, g);
    symmetry::Matrix w(out.dim(), n), x(15, n);
    w.values = weight;
    x.values = rows;
    const auto turned_w = d_out * w * symmetry::transposed(d_in);
    const auto turned_x = x * symmetry::transposed(d_in);
    Problem problem;
    const Representation left(in, Layout::published);
    const Representation right(out, Layout::published);
    problem.add({left}, right, Bracket::exact, weight, {}, rows);
    problem.add({left}, right, Bracket::exact, turned_w.values, {}, turned_x.values);
    EXPECT_NEAR(problem.sums(1).lie / problem.sums(0).lie, 1, 1e-12);
    EXPECT_NEAR(problem.sums(1).size / problem.sums(0).size, 1, 1e-12);
}

// The layout of columns is a matter of storage: the same map in another order costs the same.
TEST(Schedule, layouts_agree) {
    RandomStream random(15, Purpose::test);
    const Irreps in = Irreps::parse("4x0e+3x1o+2x2e");
    const Irreps out = Irreps::parse("2x0e+3x1o");
    const Representation in_inside(in, Layout::component_major);
    const Representation out_inside(out, Layout::component_major);
    const auto in_order = in_inside.published_order();
    const auto out_order = out_inside.published_order();
    const Index n = in.dim();
    const Numbers weight = random_numbers(random, n * out.dim());
    const Numbers bias = random_numbers(random, out.dim());
    const Numbers rows = random_numbers(random, 12 * n);
    Numbers inside_weight(weight.size()), inside_bias(bias.size()), inside_rows(rows.size());
    const auto at = [](Index i) { return static_cast<std::size_t>(i); };
    for (Index i = 0; i < out.dim(); ++i) {
        inside_bias[at(i)] = bias[at(out_order[at(i)])];
        for (Index j = 0; j < n; ++j) {
            inside_weight[at(i * n + j)] = weight[at(out_order[at(i)] * n + in_order[at(j)])];
        }
    }
    for (Index s = 0; s < 12; ++s) {
        for (Index j = 0; j < n; ++j) {
            inside_rows[at(s * n + j)] = rows[at(s * n + in_order[at(j)])];
        }
    }
    for (const Bracket bracket : {Bracket::exact, Bracket::released}) {
        Problem problem;
        problem.add({{in, Layout::published}}, {out, Layout::published}, bracket, weight, bias, rows);
        problem.add({in_inside}, out_inside, bracket, inside_weight, inside_bias, inside_rows);
        EXPECT_NEAR(problem.sums(1).lie / problem.sums(0).lie, 1, 1e-12);
        EXPECT_NEAR(problem.sums(1).size / problem.sums(0).size, 1, 1e-12);
    }
}

} // namespace
} // namespace tether::methods
