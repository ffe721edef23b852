// `recm` (reconstructed): the rule of modulation.hpp against independent traces (reference/methods),
// finite differences, and the property it was made for: gates fall to the noise where the law of rows
// and targets is symmetric, and stay up where it is not.
#include "tests/support/reference.hpp"
#include "tether/core/hdf5.hpp"
#include "tether/core/philox.hpp"
#include "tether/kernels/adam.hpp"
#include "tether/methods/modulation.hpp"
#include "tether/symmetry/groups.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace tether::methods {
namespace {

using Numbers = std::vector<double>;

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

// A critic from the published weights: first [64 x in], bias [64], second [8 x 64].
Numbers packed(const CriticShape& shape, const Numbers& first, const Numbers& bias, const Numbers& second) {
    Numbers v(at(shape.size()));
    for (Index k = 0; k < modulation_hidden; ++k) {
        for (Index i = 0; i < shape.in; ++i) {
            v[at(i * modulation_hidden + k)] = first[at(k * shape.in + i)];
        }
    }
    std::ranges::copy(bias, v.begin() + shape.bias());
    std::ranges::copy(second, v.begin() + shape.second());
    return v;
}

Numbers read_critic(const hdf5::Reader& reader, const CriticShape& shape, const std::string& group) {
    return packed(shape, reader.doubles(group + "/v.0.weight"), reader.doubles(group + "/v.0.bias"),
                  reader.doubles(group + "/v.2.weight"));
}

// One site with its own layer  y = (A ⊗ I_3) x + gamma (W x + b)  as in the reference file.
struct Toy {
    Index vectors, rows;
    Numbers equivariant, weight, bias;

    // Output of one row.
    void forward(const double* x, double gamma, double* y) const {
        for (Index c = 0; c < 3; ++c) {
            y[c] = gamma * bias[at(c)];
            for (Index k = 0; k < vectors; ++k) {
                y[c] += equivariant[at(k)] * x[3 * k + c];
            }
            for (Index k = 0; k < 3 * vectors; ++k) {
                y[c] += gamma * weight[at(c * 3 * vectors + k)] * x[k];
            }
        }
    }
    // Mean squared error, its gradient [A, b, W] (names in sorted order are not needed here), d/dgamma.
    double loss(const double* x, const double* target, double gamma, Numbers& gradient,
                double& dgamma) const {
        gradient.assign(equivariant.size() + bias.size() + weight.size(), 0.0);
        dgamma = 0;
        double sum = 0;
        const double factor = 1 / static_cast<double>(3 * rows);
        for (Index s = 0; s < rows; ++s) {
            const double* row = x + s * 3 * vectors;
            double y[3];
            forward(row, gamma, y);
            for (Index c = 0; c < 3; ++c) {
                const double error = y[c] - target[s * 3 + c];
                sum += factor * error * error;
                const double d = 2 * factor * error;
                double free = bias[at(c)];
                for (Index k = 0; k < vectors; ++k) {
                    gradient[at(k)] += d * row[3 * k + c];
                }
                gradient[equivariant.size() + at(c)] += d * gamma;
                for (Index k = 0; k < 3 * vectors; ++k) {
                    free += weight[at(c * 3 * vectors + k)] * row[k];
                    gradient[equivariant.size() + bias.size() + at(c * 3 * vectors + k)] +=
                        d * gamma * row[k];
                }
                dgamma += d * free;
            }
        }
        return sum;
    }
};

TEST(Recm, parity_reconstructed) {
    for (const std::string& file : test::reference_files("methods")) {
        const hdf5::Reader reader(file);
        if (!reader.text_attribute("/", "model").starts_with("methods: recm")) {
            continue;
        }
        const auto settings = nlohmann::json::parse(reader.text_attribute("/", "settings"));
        ASSERT_EQ(settings["spectral_cap"].get<double>(), modulation_cap);
        const double a = modulation_rate(settings["total_steps_for_a"]);
        EXPECT_EQ(a, settings["a"].get<double>());
        const std::vector<Index> shape = reader.shape("/input/x");
        const Index steps = shape[0];
        const Index rows = shape[1];
        const Index columns = shape[2];
        const CriticShape critic{columns + reader.shape("/input/y").at(2)};
        const Numbers x = reader.doubles("/input/x");
        const Numbers y = reader.doubles("/input/y");
        const Numbers z_expected = reader.doubles("/input/z");
        const Numbers rotation = reader.doubles("/input/rotation");
        const Index graphs = reader.shape("/input/rotation").at(1);
        const std::vector<Index> graph = reader.integers("/input/graph_index");

        Numbers v = read_critic(reader, critic, "/weight");
        clip_critic(critic, v);
        EXPECT_LE(test::disagreement(v, read_critic(reader, critic, "/weight")), 1e-10);
        Numbers first(v.size(), 0.0), second(v.size(), 0.0);
        Toy toy{columns / 3, rows, reader.doubles("/weight/equivariant.A"),
                reader.doubles("/weight/free.weight"), reader.doubles("/weight/free.bias")};
        Numbers layer(toy.equivariant);
        layer.insert(layer.end(), toy.bias.begin(), toy.bias.end());
        layer.insert(layer.end(), toy.weight.begin(), toy.weight.end());
        Numbers layer_first(layer.size(), 0.0), layer_second(layer.size(), 0.0);
        ModulationVector h{1};
        double square[2] = {0, 0};
        Numbers deltas, states(h.begin(), h.end()), gammas, losses, dgammas, rms, spectral;
        for (Index t = 0; t < steps; ++t) {
            const double* xs = x.data() + t * rows * columns;
            const double* ys = y.data() + t * rows * (critic.in - columns);
            double mean[2] = {0, 0};
            for (Index k = 0; k < rows * columns; ++k) {
                mean[0] += xs[k] * xs[k] / static_cast<double>(rows * columns);
            }
            const Index targets = critic.in - columns;
            for (Index k = 0; k < rows * targets; ++k) {
                mean[1] += ys[k] * ys[k] / static_cast<double>(rows * targets);
            }
            for (int k = 0; k < 2; ++k) {
                square[k] = running_square(square[k], mean[k], t == 0);
                rms.push_back(std::sqrt(square[k]));
            }
            Numbers z, turned;
            for (Index s = 0; s < rows; ++s) {
                for (Index k = 0; k < critic.in; ++k) {
                    z.push_back(k < columns ? xs[s * columns + k] / std::sqrt(square[0])
                                            : ys[s * targets + k - columns] / std::sqrt(square[1]));
                }
                const double* r = rotation.data() + (t * graphs + graph[at(s)]) * 9;
                for (Index k = 0; k < critic.in; ++k) {
                    double sum = 0;
                    for (Index j = 0; j < 3; ++j) {
                        sum += r[k % 3 * 3 + j] * z[at(s * critic.in + k / 3 * 3 + j)];
                    }
                    turned.push_back(sum);
                }
            }
            const Numbers expected(z_expected.begin() + t * rows * critic.in,
                                   z_expected.begin() + (t + 1) * rows * critic.in);
            EXPECT_LE(test::disagreement(z, expected), 1e-10) << file << " step " << t;

            ModulationVector delta{};
            const double weight = 1 / static_cast<double>(rows);
            for (Index s = 0; s < rows; ++s) {
                add_critic(critic, v.data(), z.data() + s * critic.in, weight, delta.data());
                add_critic(critic, v.data(), turned.data() + s * critic.in, -weight, delta.data());
            }
            const double gamma = advance_modulation(a, delta, h);
            Numbers layer_gradient;
            double dgamma = 0;
            losses.push_back(toy.loss(xs, ys, gamma, layer_gradient, dgamma));
            const ModulationVector q = direction(h);
            double outer[modulation_hidden];
            critic_outer(critic, v.data(), q, outer);
            Numbers gradient(v.size(), 0.0);
            for (Index s = 0; s < rows; ++s) {
                add_critic_gradient(critic, v.data(), outer, q, z.data() + s * critic.in, weight,
                                    gradient.data());
                add_critic_gradient(critic, v.data(), outer, q, turned.data() + s * critic.in, -weight,
                                    gradient.data());
            }
            if (t < 2) {
                Numbers found = gradient;
                for (double& g : found) {
                    g *= a * dgamma;
                }
                const std::string group = "/gradient_step_" + std::to_string(t + 1);
                EXPECT_LE(test::disagreement(found, read_critic(reader, critic, group)), 1e-10) << group;
            }
            deltas.insert(deltas.end(), delta.begin(), delta.end());
            states.insert(states.end(), h.begin(), h.end());
            gammas.push_back(gamma);
            dgammas.push_back(dgamma);
            const kernels::Adam<double> adam({}, settings["optimiser"]["layer"]["lr"], t + 1);
            for (std::size_t k = 0; k < layer.size(); ++k) {
                adam(layer[k], layer_gradient[k], layer_first[k], layer_second[k]);
            }
            auto next = layer.begin();
            for (Numbers* part : {&toy.equivariant, &toy.bias, &toy.weight}) {
                std::copy_n(next, part->size(), part->begin());
                next += static_cast<std::ptrdiff_t>(part->size());
            }
            update_critic<double>(
                critic,
                {.learning_rate = settings["optimiser"]["v"]["lr"], .scale = a * dgamma, .count = t + 1},
                gradient.data(), v, first, second);
            if (t == 0 || t + 1 == steps) {
                const std::string group = t == 0 ? "/weight_after_1" : "/weight_after_last";
                EXPECT_LE(test::disagreement(v, read_critic(reader, critic, group)), 1e-9) << group;
                EXPECT_LE(test::disagreement(toy.weight, reader.doubles(group + "/free.weight")), 1e-9);
            }
            for (const double s :
                 {largest_singular_value(v.data(), critic.in, modulation_hidden),
                  largest_singular_value(v.data() + critic.second(), modulation_size, modulation_hidden)}) {
                spectral.push_back(s);
            }
        }
        EXPECT_LE(test::disagreement(deltas, reader.doubles("/trace/delta")), 1e-10) << file;
        EXPECT_LE(test::disagreement(states, reader.doubles("/trace/h")), 1e-10) << file;
        EXPECT_LE(test::disagreement(gammas, reader.doubles("/trace/gamma")), 1e-10) << file;
        EXPECT_LE(test::disagreement(losses, reader.doubles("/trace/loss")), 1e-10) << file;
        EXPECT_LE(test::disagreement(dgammas, reader.doubles("/trace/dloss_dgamma")), 1e-10) << file;
        EXPECT_LE(test::disagreement(rms, reader.doubles("/trace/rms")), 1e-10) << file;
        Numbers clipped = reader.doubles("/trace/spectral_before_clip");
        for (double& s : clipped) {
            s = std::min(s, modulation_cap);
        }
        EXPECT_LE(test::disagreement(spectral, clipped), 1e-9) << file;
    }
}

TEST(Recm, gradient_is_that_of_finite_differences) {
    RandomStream random(3, Purpose::test);
    const CriticShape shape{5};
    Numbers v(at(shape.size()));
    for (double& x : v) {
        x = 0.4 * random.normal();
    }
    Numbers z(5);
    for (double& x : z) {
        x = random.normal();
    }
    ModulationVector h{};
    for (double& x : h) {
        x = random.normal();
    }
    const ModulationVector q = direction(h);
    const auto value = [&] {
        ModulationVector out{};
        add_critic(shape, v.data(), z.data(), 0.7, out.data());
        double sum = 0;
        for (std::size_t k = 0; k < out.size(); ++k) {
            sum += q[k] * out[k];
        }
        return sum;
    };
    double outer[modulation_hidden];
    critic_outer(shape, v.data(), q, outer);
    Numbers gradient(v.size(), 0.0);
    add_critic_gradient(shape, v.data(), outer, q, z.data(), 0.7, gradient.data());
    for (std::size_t k = 0; k < v.size(); k += 13) {
        const double before = v[k];
        v[k] = before + 1e-5;
        const double above = value();
        v[k] = before - 1e-5;
        const double below = value();
        v[k] = before;
        EXPECT_NEAR((above - below) / 2e-5, gradient[k], 1e-8);
    }
}

TEST(Recm, largest_singular_values) {
    // diag(3, 1) turned on both sides; more columns than rows and the other way round.
    const double c = std::cos(0.7);
    const double s = std::sin(0.7);
    const Numbers wide{3 * c, 3 * s, 0, -s, c, 0};
    EXPECT_NEAR(largest_singular_value(wide.data(), 2, 3), 3, 1e-14);
    const Numbers tall{3 * c, -s, 3 * s, c, 0, 0};
    EXPECT_NEAR(largest_singular_value(tall.data(), 3, 2), 3, 1e-14);
    const CriticShape shape{2};
    RandomStream random(4, Purpose::test);
    Numbers v(at(shape.size()));
    for (double& x : v) {
        x = 2 * random.normal();
    }
    clip_critic(shape, v);
    EXPECT_NEAR(largest_singular_value(v.data(), 2, modulation_hidden), modulation_cap, 1e-12);
    const Numbers before = v;
    for (double& x : v) {
        x *= 0.5;
    }
    const Numbers small = v;
    clip_critic(shape, v);
    EXPECT_EQ(v, small) << "matrices within the bound are left alone";
}

TEST(Recm, rate_has_its_bounds) {
    EXPECT_EQ(modulation_rate(100), 1e-2);
    EXPECT_EQ(modulation_rate(4000), 20.0 / 4000);
    EXPECT_EQ(modulation_rate(1e9), 1e-4);
}

// Rows drawn from a law of a vector x and its target y, a critic that learns to tell z from g z as
// fast as the rule lets it (dL/dgamma = -1: every gain of gamma is welcome), `steps` steps.
double final_gate(bool symmetric, bool turned, Index batch, int steps, std::uint64_t seed) {
    const CriticShape shape{6};
    RandomStream random(seed, Purpose::test);
    Numbers v(at(shape.size())), first(v.size(), 0.0), second(v.size(), 0.0);
    for (Index k = 0; k < shape.size(); ++k) {
        v[at(k)] = (2 * random.uniform() - 1) / (k < shape.second() ? std::sqrt(6.0) : 8.0);
    }
    clip_critic(shape, v);
    ModulationVector h{1};
    double gamma = 1;
    const double a = 0.02;
    double average = 0;
    const int half = steps / 2;
    for (int t = 0; t < steps; ++t) {
        Numbers z, g;
        for (Index s = 0; s < batch; ++s) {
            double row[6];
            for (double& x : row) {
                x = random.normal();
            }
            if (!symmetric) { // both aligned with one axis
                row[0] = std::abs(row[0]) + 1;
                row[3] = row[0];
            }
            const auto r = symmetry::rotation_matrix(turned ? symmetry::random_rotation(random)
                                                            : symmetry::Quaternion{});
            for (int k = 0; k < 6; ++k) {
                z.push_back(row[k]);
                double sum = 0;
                for (int j = 0; j < 3; ++j) {
                    sum += r(k % 3, j) * row[k / 3 * 3 + j];
                }
                g.push_back(sum);
            }
        }
        ModulationVector delta{};
        const double weight = 1 / static_cast<double>(batch);
        for (Index s = 0; s < batch; ++s) {
            add_critic(shape, v.data(), z.data() + s * 6, weight, delta.data());
            add_critic(shape, v.data(), g.data() + s * 6, -weight, delta.data());
        }
        if (!turned) {
            EXPECT_LE(*std::ranges::max_element(delta), 1e-15) << "g = 1 must give delta = 0";
            EXPECT_GE(*std::ranges::min_element(delta), -1e-15);
        }
        gamma = advance_modulation(a, delta, h);
        const ModulationVector q = direction(h);
        double outer[modulation_hidden];
        critic_outer(shape, v.data(), q, outer);
        Numbers gradient(v.size(), 0.0);
        for (Index s = 0; s < batch; ++s) {
            add_critic_gradient(shape, v.data(), outer, q, z.data() + s * 6, weight, gradient.data());
            add_critic_gradient(shape, v.data(), outer, q, g.data() + s * 6, -weight, gradient.data());
        }
        update_critic<double>(shape, {.scale = -a, .count = t + 1}, gradient.data(), v, first, second);
        average += t >= half ? gamma / (steps - half) : 0;
    }
    return average;
}

TEST(Recm, no_turn_no_difference) {
    const double decayed = final_gate(false, false, 8, 100, 5);
    double expected = 0; // gamma = (1 - a)^t
    for (int t = 50; t < 100; ++t) {
        expected += std::pow(0.98, t + 1) / 50;
    }
    EXPECT_NEAR(decayed, expected, 1e-12);
}

TEST(Recm, gates_fall_to_the_noise_where_the_law_is_symmetric) {
    const double few = final_gate(true, true, 8, 800, 6);
    const double many = final_gate(true, true, 128, 800, 6);
    const double aligned = final_gate(false, true, 128, 800, 6);
    EXPECT_LT(many, 0.6 * few) << "noise falls with the batch";
    EXPECT_LT(many, 0.2);
    EXPECT_GT(aligned, 5 * many);
}

} // namespace
} // namespace tether::methods
