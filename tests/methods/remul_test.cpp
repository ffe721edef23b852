// `remul`: the balance of two tasks against traces made by autograd (reference/methods), properties of
// the update, and what the settings may be.
#include "tether/methods/remul.hpp"

#include "tests/support/reference.hpp"
#include "tether/core/error.hpp"
#include "tether/core/hdf5.hpp"
#include "tether/methods/method.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <array>
#include <cmath>
#include <string>
#include <vector>

namespace tether::methods {
namespace {

using Json = nlohmann::json;
using Rows = std::vector<double>;

// The toy of the files: f(x) = W2 tanh(W1 x + b1) + b2, mean squared error.
struct Toy {
    std::size_t in, hidden, out;
    std::array<Rows, 4> p; // W1, b1, W2, b2

    // Mean squared error and its gradients on these rows.
    double loss(const Rows& x, const Rows& y, std::array<Rows, 4>& g) const {
        for (std::size_t k = 0; k < 4; ++k) {
            g[k].assign(p[k].size(), 0.0);
        }
        const std::size_t rows = x.size() / in;
        const double factor = 1 / static_cast<double>(rows * out);
        double sum = 0;
        for (std::size_t r = 0; r < rows; ++r) {
            Rows a(hidden), da(hidden, 0.0);
            for (std::size_t h = 0; h < hidden; ++h) {
                double z = p[1][h];
                for (std::size_t i = 0; i < in; ++i) {
                    z += p[0][h * in + i] * x[r * in + i];
                }
                a[h] = std::tanh(z);
            }
            for (std::size_t o = 0; o < out; ++o) {
                double d = p[3][o] - y[r * out + o];
                for (std::size_t h = 0; h < hidden; ++h) {
                    d += p[2][o * hidden + h] * a[h];
                }
                sum += d * d;
                const double dy = 2 * factor * d;
                g[3][o] += dy;
                for (std::size_t h = 0; h < hidden; ++h) {
                    g[2][o * hidden + h] += dy * a[h];
                    da[h] += dy * p[2][o * hidden + h];
                }
            }
            for (std::size_t h = 0; h < hidden; ++h) {
                const double dz = da[h] * (1 - a[h] * a[h]);
                g[1][h] += dz;
                for (std::size_t i = 0; i < in; ++i) {
                    g[0][h * in + i] += dz * x[r * in + i];
                }
            }
        }
        return factor * sum;
    }
};

// Rows of 3-vectors, row r turned by the r-th of `matrices` [rows, 3, 3].
Rows turned(const Rows& x, std::size_t columns, std::span<const double> matrices) {
    Rows y(x.size());
    for (std::size_t r = 0; r * columns < x.size(); ++r) {
        for (std::size_t c = 0; c < columns; ++c) {
            double sum = 0;
            for (std::size_t j = 0; j < 3; ++j) {
                sum += matrices[r * 9 + c % 3 * 3 + j] * x[r * columns + c / 3 * 3 + j];
            }
            y[r * columns + c] = sum;
        }
    }
    return y;
}

double norm(const Rows& x) {
    double square = 0;
    for (const double v : x) {
        square += v * v;
    }
    return std::sqrt(square);
}

TEST(Remul, parity_gradual) {
    int compared = 0;
    for (const std::string& file : test::reference_files("methods")) {
        const hdf5::Reader reader(file);
        const Json settings = Json::parse(reader.text_attribute("/", "settings"));
        if (!settings.contains("configs") || !settings.contains("weight_lr")) {
            continue;
        }
        for (const auto& [name, config] : settings["configs"].items()) {
            SCOPED_TRACE(file + ", " + name);
            const std::string at = "/" + name + "/";
            const auto read = [&](const std::string& path) { return reader.doubles(at + path); };
            Toy toy{static_cast<std::size_t>(reader.shape(at + "input/x").at(1)),
                    settings["hidden"].get<std::size_t>(),
                    static_cast<std::size_t>(reader.shape(at + "input/y").at(1)),
                    {read("weight/layer_1.weight"), read("weight/layer_1.bias"),
                     read("weight/layer_2.weight"), read("weight/layer_2.bias")}};
            const Rows x = read("input/x");
            const Rows y = read("input/y");
            const Rows rotation = read("input/rotation");
            const std::size_t each = x.size() / toy.in * 9;
            MethodSettings s{.name = "remul"};
            s.values.set("policy", std::string("gradual"));
            s.values.set("beta", config["beta0"].get<double>());
            const auto method = make_method(s);
            ASSERT_TRUE(method->measures_tasks());
            const auto state = method->start({.tasks = method->tasks().weights()});
            const auto weights = [&] {
                const auto w = std::as_const(*state).control().tasks();
                return TaskPair{w[0], w[1]};
            };
            const Rows trace = read("trace/weight");
            const Rows losses = read("trace/loss"), norms = read("trace/n"), g = read("trace/g"),
                       ratios = read("trace/ratio"), targets = read("trace/target");
            TaskPair first{};
            for (std::size_t t = 0; t + 1 < trace.size() / 2; ++t) {
                SCOPED_TRACE("step " + std::to_string(t));
                const std::span<const double> now = std::span(rotation).subspan(t * each, each);
                std::array<Rows, 4> plain, equivariant;
                const TaskPair loss{toy.loss(x, y, plain),
                                    toy.loss(turned(x, toy.in, now), turned(y, toy.out, now), equivariant)};
                const TaskPair n{norm(plain[2]), norm(equivariant[2])};
                const TaskPair w = weights();
                first = t == 0 ? loss : first;
                const GradNormStep step = gradnorm({.rate = settings["weight_lr"],
                                                    .exponent = settings["exponent"],
                                                    .minimum = settings["minimum"]},
                                                   w, loss, first, n);
                for (std::size_t k = 0; k < 2; ++k) {
                    const auto near = [&](double found, const Rows& expected) {
                        EXPECT_NEAR(found, expected[2 * t + k], 1e-10 * std::max(1.0, std::abs(found)));
                    };
                    near(w[k], trace);
                    near(loss[k], losses);
                    near(n[k], norms);
                    near(step.weighted[k], g);
                    near(step.ratio[k], ratios);
                    near(step.target[k], targets);
                }
                // The network's step: SGD with the weights before their update.
                for (std::size_t k = 0; k < 4; ++k) {
                    for (std::size_t i = 0; i < toy.p[k].size(); ++i) {
                        toy.p[k][i] -=
                            config["lr"].get<double>() * (w[0] * plain[k][i] + w[1] * equivariant[k][i]);
                    }
                }
                state->advance({.step = static_cast<Index>(t), .task_loss = loss, .task_norm = n});
            }
            for (std::size_t k = 0; k < 2; ++k) {
                EXPECT_NEAR(weights()[k], trace[trace.size() - 2 + k], 1e-10);
            }
            const Rows last = read("weight_after_last/layer_2.weight");
            for (std::size_t i = 0; i < last.size(); ++i) {
                EXPECT_NEAR(toy.p[2][i], last[i], 1e-10);
            }
            ++compared;
        }
    }
    if (compared == 0) {
        GTEST_SKIP() << "no trace of gradual weights in reference/methods";
    }
}

TEST(Remul, weights_stay_positive_with_a_sum_of_two) {
    TaskPair w{1, 1};
    for (int t = 0; t < 50; ++t) { // the first task's gradient is far too large all the time
        w = gradnorm({}, w, {1, 1}, {1, 1}, {500, 0.1}).weight;
        EXPECT_NEAR(w[0] + w[1], 2, 1e-15);
        EXPECT_GT(w[0], 0);
        EXPECT_GT(w[1], w[0]);
    }
    EXPECT_EQ(gradnorm({}, {1, 1}, {3, 3}, {2, 2}, {4, 4}).weight, (TaskPair{1, 1}))
        << "balanced: sign 0 is 0";
    // Nothing to learn from the start: finite.
    for (const double v : gradnorm({}, {1, 1}, {0, 0}, {0, 0}, {0, 0}).weight) {
        EXPECT_TRUE(std::isfinite(v));
    }
}

TEST(Remul, a_weight_of_zero_takes_its_task_away) {
    const auto tasks = [](double alpha, double beta) {
        MethodSettings s{.name = "remul"};
        s.values.set("alpha", alpha);
        s.values.set("beta", beta);
        return make_method(s)->tasks();
    };
    EXPECT_TRUE(tasks(1, 0.5).weighted());
    EXPECT_FALSE(tasks(0, 1).plain);
    EXPECT_TRUE(tasks(0, 1).turned);
    EXPECT_FALSE(tasks(1, 0).turned);
    EXPECT_EQ(tasks(0, 1).weights(), 0);
}

TEST(Remul, impossible_weights_are_named) {
    const auto message = [](const std::string& policy, double alpha, double beta) -> std::string {
        MethodSettings s{.name = "remul"};
        s.values.set("policy", policy);
        s.values.set("alpha", alpha);
        s.values.set("beta", beta);
        try {
            (void)make_method(s);
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ExitCode::usage);
            return error.what();
        }
        return "accepted";
    };
    EXPECT_EQ(message("constant", 1, 0.3), "accepted");
    EXPECT_NE(message("constant", 0, 0).find("nothing to learn"), std::string::npos);
    EXPECT_NE(message("constant", 0, 0.5).find("weight 1"), std::string::npos);
    EXPECT_NE(message("constant", -1, 1).find("method.alpha = -1"), std::string::npos);
    EXPECT_NE(message("gradual", 1, 1e-5).find("at least"), std::string::npos);
    EXPECT_NE(message("steady", 1, 1).find("steady"), std::string::npos);
}

} // namespace
} // namespace tether::methods
