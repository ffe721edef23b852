// Tensor products and messages against the formula in plain loops, for irreps of every kind: several
// copies on both sides, repeated terms, outputs that no path reaches, no biases; and the exact
// gradient of what is linear in each of its arguments.
#include "tests/ops/batches.hpp"
#include "tether/core/error.hpp"
#include "tether/core/philox.hpp"
#include "tether/layers/tensor_product.hpp"
#include "tether/ops/loss.hpp"
#include "tether/program/executor.hpp"
#include "tether/symmetry/clebsch_gordan.hpp"
#include "tether/symmetry/layout.hpp"
#include "tether/symmetry/paths.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace tether::test {
namespace {

using symmetry::Irreps;
using Numbers = std::vector<double>;

Numbers random_numbers(Index count, std::uint64_t seed) {
    RandomStream random(seed, Purpose::test);
    Numbers values(static_cast<std::size_t>(count));
    for (double& v : values) {
        v = random.normal();
    }
    return values;
}

// Rows in published order to the order inside, and back.
Numbers reorder(const Numbers& rows, const std::vector<Index>& from) {
    Numbers out(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::size_t row = i / from.size();
        out[i] = rows[row * from.size() + static_cast<std::size_t>(from[i % from.size()])];
    }
    return out;
}

// out[c,w,k] = sqrt(2l_c+1) sum over paths of W[u,v,w] C[i,j,k] a[u,i] b[v,j] (+ bias), one row.
Numbers plain_product(const Irreps& in1, const Irreps& in2, const Irreps& out, const Numbers& weight,
                      const Numbers& bias, const double* a, const double* b) {
    const symmetry::TensorPaths paths = symmetry::tensor_paths(in1, in2, out);
    Numbers y(static_cast<std::size_t>(paths.c.dim()), 0.0);
    for (const symmetry::TensorPath& p : paths.paths) {
        const Index da = paths.a[p.a].ir.dim(), db = paths.b[p.b].ir.dim(), dc = paths.c[p.c].ir.dim();
        const auto& tensor =
            symmetry::clebsch_gordan(paths.a[p.a].ir.l, paths.b[p.b].ir.l, paths.c[p.c].ir.l);
        for (Index u = 0; u < p.mul_a; ++u) {
            for (Index v = 0; v < p.mul_b; ++v) {
                for (Index w = 0; w < p.mul_c; ++w) {
                    const double factor =
                        weight[static_cast<std::size_t>(p.offset + (u * p.mul_b + v) * p.mul_c + w)] *
                        std::sqrt(static_cast<double>(dc));
                    for (const auto& e : tensor.entries) {
                        y[static_cast<std::size_t>(paths.c.offset(p.c) + w * dc + e.k)] +=
                            factor * e.value * a[paths.a.offset(p.a) + u * da + e.i] *
                            b[paths.b.offset(p.b) + v * db + e.j];
                    }
                }
            }
        }
    }
    std::size_t next = 0;
    for (Index c = 0; c < paths.c.size(); ++c) {
        for (Index w = 0; !bias.empty() && paths.c[c].ir.scalar() && w < paths.c[c].mul; ++w) {
            y[static_cast<std::size_t>(paths.c.offset(c) + w)] += bias[next++];
        }
    }
    return y;
}

// A recorded product with inputs a, b (and cotangent), its numbers, and one run.
struct Recorded {
    ParameterSet parameters;
    StateSet states;
    Program program;
    Value y;

    // message: a is on nodes, b and `extra` on edges.
    Recorded(const Irreps& in1, const Irreps& in2, const Irreps& out, bool bias, bool message, Index extra) {
        Builder b(parameters, states);
        const Axis axis = message ? Axis::edge : Axis::node;
        const Value a = b.input("a", {Axis::node, 1}, in1.dim(), true);
        const Value attributes = b.input("b", {axis, 1}, in2.dim(), true);
        if (message) {
            const Value scalars = b.input("extra", {axis, 1}, extra, true);
            y = layers::message_tensor_product(b, "tp", {a, in1}, scalars, {attributes, in2}, out,
                                               {.bias = bias});
        } else {
            y = layers::tensor_product(b, "tp", {{a, in1}}, {attributes, in2}, out, {.bias = bias});
        }
        const Value loss = ops::inner_product(b, y, b.input("cotangent", {axis, 1}, out.dim()));
        b.output("y", y);
        b.sum("loss", loss);
        b.differentiate(loss);
        for (const char* name : {"a", "b", "extra"}) {
            if (message || std::string(name) != "extra") {
                const Value g = b.gradient_of(
                    b.input(name, {name[0] == 'a' ? Axis::node : axis, 1},
                            name[0] == 'a' ? in1.dim() : (name[0] == 'b' ? in2.dim() : extra), true));
                if (g.valid()) {
                    b.output(std::string("gradient/") + name, g);
                }
            }
        }
        program = b.finish();
    }

    std::map<std::string, Numbers> run(const Batch& batch, const std::map<std::string, Numbers>& fields,
                                       const Numbers& weights) {
        BatchPart<double> part = make_part<double>(batch, 0, batch.lanes.size());
        for (const std::string& name : program.fields) {
            part.field.push_back(fields.at(name));
        }
        PackedWeights<double> packed(program);
        packed.renew(weights.data());
        std::map<std::string, Numbers> result;
        Numbers& gradient = result["gradient"];
        gradient.assign(weights.size(), 0.0);
        HostExecutor<double> executor(program, Checking::debug);
        executor.run(part,
                     {.parameters = weights.data(), .gradient = gradient.data(), .packed = packed.data()});
        for (const auto& [name, v] : program.outputs) {
            const auto values = executor.value(v);
            result[name].assign(values.begin(), values.end());
        }
        return result;
    }
};

double inner(const Numbers& a, const Numbers& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        sum += a[i] * b[i];
    }
    return sum;
}

void expect_near(const Numbers& found, const Numbers& right, const std::string& what) {
    ASSERT_EQ(found.size(), right.size()) << what;
    double scale = 1;
    for (const double x : right) {
        scale = std::max(scale, std::abs(x));
    }
    for (std::size_t i = 0; i < found.size(); ++i) {
        ASSERT_NEAR(found[i], right[i], 1e-12 * scale) << what << ", entry " << i;
    }
}

// loss(x) is linear in one argument at a time: <gradient of x, x> is the loss (without what does not
// contain x), and <gradient, d> is the loss at d.
void expect_gradient(Recorded& product, const Batch& batch, const std::map<std::string, Numbers>& given,
                     const Numbers& weights, const std::string& what) {
    std::map<std::string, Numbers> fields = given;
    const auto base = product.run(batch, fields, weights);
    for (auto& [name, values] : fields) {
        const auto g = base.find("gradient/" + name);
        if (g == base.end()) {
            continue;
        }
        const Numbers keep = values;
        const Numbers direction = random_numbers(static_cast<Index>(values.size()), 91);
        for (std::size_t i = 0; i < values.size(); ++i) {
            values[i] += direction[i];
        }
        const double above = product.run(batch, fields, weights).at("loss")[0];
        values = keep;
        const double slope = inner(g->second, direction);
        ASSERT_NEAR(above - base.at("loss")[0], slope,
                    1e-10 * std::max(1.0, std::abs(above) + std::abs(slope)))
            << what << ", " << name;
    }
    const Numbers direction = random_numbers(static_cast<Index>(weights.size()), 92);
    Numbers moved = weights;
    for (std::size_t i = 0; i < moved.size(); ++i) {
        moved[i] += direction[i];
    }
    const double above = product.run(batch, fields, moved).at("loss")[0];
    const double slope = inner(base.at("gradient"), direction);
    ASSERT_NEAR(above - base.at("loss")[0], slope, 1e-10 * std::max(1.0, std::abs(above) + std::abs(slope)))
        << what << ", weights";
}

struct Case {
    const char *in1, *in2, *out;
};

// The last column of the comments says what is peculiar.
constexpr Case cases[] = {
    {"4x0e+3x1o", "1x0e+1x1o", "5x0e+2x1o"},
    {"2x0e+2x1o+1x1e+2x2e", "2x0e+3x1o", "3x0e+2x1o+2x1e+1x2o+2x2e"}, // several copies in the second input
    {"2x0e+1x1o+3x0e+2x1o+1x0e", "1x0e+2x1o", "2x0e+3x1o"},           // repeated terms
    {"3x0e", "1x0e+1x1o", "2x0e+2x1o+4x2e"},                          // 2e is not reached
    {"2x1o", "1x0e", "3x0e+1x1o"},                                    // 0e is not reached, but has a bias
    {"1x0e+1x1o+1x2e+1x3o", "1x0e+1x1o+1x2e+1x3o", "2x0e+1x1o+2x2e+1x3o"},
    {"5x1e", "2x1o+1x2e", "1x0o+2x1o+3x2o+1x3e"}, // no scalars 0e at all
    {"2x0o+1x1e", "1x0o+2x1o", "2x0e+1x0o+2x1o+1x1e"},
    {"3x1o+2x0e", "1x1o+1x0e", "2x0e+1x1o"},           // vectors before scalars
    {"17x0e+9x1o", "1x0e+1x1o", "33x0e+8x1o"},         // whole vectors and tails
    {"2x0e+2x1o", "1x0e+1x1o", "2x1o+3x0e"},           // scalars of the output not first
    {"2x0e+2x1o", "1x0e+1x1o", "1x0e+2x1o+2x0e+1x1o"}, // and in several places
};

TEST(TensorProduct, agrees_with_the_formula) {
    for (const Case& c : cases) {
        for (const bool bias : {true, false}) {
            const std::string what =
                std::string(c.in1) + " x " + c.in2 + " -> " + c.out + (bias ? "" : ", no bias");
            SCOPED_TRACE(what);
            const Irreps in1 = Irreps::parse(c.in1).simplified(), in2 = Irreps::parse(c.in2).simplified(),
                         out = Irreps::parse(c.out).simplified();
            Recorded product(in1, in2, out, bias, false, 0);
            const Batch batch{"rows", {{Graph{4}}, {}, {Graph{1}}, {Graph{2}}}};
            const Index rows = 7;
            const Numbers a = random_numbers(rows * in1.dim(), 1), b = random_numbers(rows * in2.dim(), 2);
            const Numbers weights = random_numbers(product.parameters.size(), 3);
            const int biases = product.parameters.find("tp.biases");
            ASSERT_EQ(biases >= 0, bias && out.multiplicity({0, 1}) > 0);
            const Numbers weight =
                product.parameters.to_published<double>(product.parameters.find("tp.tp.weight"), weights);
            const Numbers offset =
                biases < 0 ? Numbers{} : product.parameters.to_published<double>(biases, weights);
            Numbers right;
            for (Index r = 0; r < rows; ++r) {
                const Numbers y = plain_product(in1, in2, out, weight, offset, a.data() + r * in1.dim(),
                                                b.data() + r * in2.dim());
                right.insert(right.end(), y.begin(), y.end());
            }
            std::map<std::string, Numbers> fields{{"a", reorder(a, symmetry::component_major_order(in1))},
                                                  {"b", reorder(b, symmetry::component_major_order(in2))},
                                                  {"cotangent", random_numbers(rows * out.dim(), 4)}};
            const Numbers y = product.run(batch, fields, weights).at("y");
            expect_near(reorder(y, symmetry::published_order(out)), right, what);
            expect_gradient(product, batch, fields, weights, what);
            if (HasFatalFailure()) {
                return;
            }
        }
    }
}

TEST(TensorProduct, messages_agree_with_the_formula) {
    for (const Case& c : cases) {
        for (const Index extra : {1, 2}) {
            const Irreps node = Irreps::parse(c.in1).simplified(),
                         attributes = Irreps::parse(c.in2).simplified(),
                         out = Irreps::parse(c.out).simplified();
            const Irreps first = node + node + Irreps({{extra, symmetry::Irrep{0, 1}}});
            const std::string what = "message of " + node.to_string() + " x " + c.in2 + " -> " + c.out;
            SCOPED_TRACE(what);
            Recorded product(node, attributes, out, true, true, extra);
            const Batch batch{
                "graphs", {{complete_graph(3), Graph{4, {{2, 0}, {0, 2}, {0, 0}}}}, {Graph{2, {{1, 0}}}}}};
            const BatchPart<double> part = make_part<double>(batch, 0, 2);
            const Index nodes = part.rows(Axis::node), edges = part.rows(Axis::edge);
            const Numbers x = random_numbers(nodes * node.dim(), 1),
                          b = random_numbers(edges * attributes.dim(), 2),
                          e = random_numbers(edges * extra, 5);
            const Numbers weights = random_numbers(product.parameters.size(), 3);
            const int biases = product.parameters.find("tp.biases");
            const Numbers weight =
                product.parameters.to_published<double>(product.parameters.find("tp.tp.weight"), weights);
            const Numbers offset =
                biases < 0 ? Numbers{} : product.parameters.to_published<double>(biases, weights);
            Numbers right;
            for (Index k = 0; k < edges; ++k) {
                Numbers row;
                for (const auto& ends : {part.topology.receiver, part.topology.sender}) {
                    const auto from = x.begin() + ends[static_cast<std::size_t>(k)] * node.dim();
                    row.insert(row.end(), from, from + node.dim());
                }
                row.insert(row.end(), e.begin() + k * extra, e.begin() + (k + 1) * extra);
                const Numbers y = plain_product(first, attributes, out, weight, offset, row.data(),
                                                b.data() + k * attributes.dim());
                right.insert(right.end(), y.begin(), y.end());
            }
            std::map<std::string, Numbers> fields{
                {"a", reorder(x, symmetry::component_major_order(node))},
                {"b", reorder(b, symmetry::component_major_order(attributes))},
                {"extra", e},
                {"cotangent", random_numbers(edges * out.dim(), 4)}};
            expect_near(reorder(product.run(batch, fields, weights).at("y"), symmetry::published_order(out)),
                        right, what);
            expect_gradient(product, batch, fields, weights, what);
            if (HasFatalFailure()) {
                return;
            }
        }
    }
}

TEST(TensorProduct, wrong_irreps_are_refused_with_a_message) {
    ParameterSet parameters;
    StateSet states;
    Builder b(parameters, states);
    const Value x = b.input("x", {Axis::node, 1}, 7);
    const Value a = b.input("a", {Axis::node, 1}, 4);
    const Irreps in = Irreps::parse("4x0e+1x1o"), attributes = Irreps::parse("1x0e+1x1o");
    const auto message = [&](const std::function<void()>& record) -> std::string {
        try {
            record();
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ExitCode::usage);
            return error.what();
        }
        return "";
    };
    EXPECT_NE(message([&] {
                  layers::tensor_product(b, "one", {{x, Irreps::parse("5x0e+1x1o")}}, {a, attributes}, in);
              }).find("one: 7 columns for 5x0e+1x1o"),
              std::string::npos);
    EXPECT_NE(message([&] { layers::tensor_product(b, "two", {{x, in}}, {{}, attributes}, in); }), "");
    EXPECT_NE(message([&] {
                  layers::tensor_product(b, "three", {{x, in}}, {a, attributes}, Irreps::parse("1x3e"));
              }).find("1x3e"),
              std::string::npos);
    EXPECT_NE(message([&] { (void)layers::before_gate(Irreps::parse("2x1o+3x0e")); }).find("2x1o+3x0e"),
              std::string::npos);
}

} // namespace
} // namespace tether::test
