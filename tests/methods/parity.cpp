// Parity of the constrained methods with traces made by autograd and torch.optim: the flat task (zero
// task gradient), the saddle problem, and all variants (reference/methods).
#include "tests/methods/primal.hpp"
#include "tests/support/reference.hpp"
#include "tether/core/hdf5.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

namespace tether::methods {
namespace {

using Json = nlohmann::json;
using test_support::Descent;
using test_support::PrimalSettings;
using test_support::Quadratic;

// Files of reference/methods by what their groups hold: `probe` is a path that marks the layout.
std::vector<std::string> files_with(const std::string& model, const std::string& probe) {
    std::vector<std::string> files;
    for (const std::string& file : test::reference_files("methods")) {
        const hdf5::Reader reader(file);
        if (reader.text_attribute("/", "model") == model && (probe.empty() || reader.has(probe))) {
            files.push_back(file);
        }
    }
    return files;
}

MethodSettings ace(const std::string& constraint, DualKind dual) {
    MethodSettings settings;
    settings.name = "ace";
    if (constraint.starts_with("released")) {
        settings.values.set("constraint", std::string("resilient"));
        settings.values.set("variant", constraint);
    } else {
        settings.values.set("constraint", constraint);
    }
    settings.dual.kind = dual;
    return settings;
}

TEST(Ace, parity_flat_task) {
    const auto files = files_with("methods: ace equality", "");
    if (files.empty()) {
        GTEST_SKIP() << "no file with zero task gradient in reference/methods";
    }
    for (const std::string& file : files) {
        const hdf5::Reader reader(file);
        const Json all = Json::parse(reader.text_attribute("/", "settings"));
        for (const auto& [name, json] : all.items()) {
            const bool adam = json["kind"] == "adam";
            MethodSettings settings = ace("equality", adam ? DualKind::adam : DualKind::sgd);
            settings.dual.eps = json.value("deps", 1e-8);
            settings.dual.mean = json.value("scale", "sum") == "mean";
            const PrimalSettings primal{
                .adam = adam, .weight_decay = json.value("wd", 0.0), .clip = json.value("clip", 0.0)};
            const auto sites = json.value("sites", std::size_t{1});
            Descent run(settings, primal, {}, {}, std::vector<double>(sites, 1.0));

            const auto updates = reader.integers(name + "/update");
            const auto first = reader.integers(name + "/first_crossing_update").at(0);
            std::vector<double> gammas{1};
            std::vector<double> lambdas{0};
            std::vector<Index> crossings;
            Index first_found = -1;
            for (Index update = 1; update <= std::max(updates.back(), first + 1); ++update) {
                run.step(json["lr"], json["dl"]);
                gammas.push_back(run.gamma().back());
                lambdas.push_back(run.lambda().back());
                const double before = gammas[gammas.size() - 2];
                if ((before > 0) != (gammas.back() > 0) && update <= updates.back()) {
                    crossings.push_back(update);
                }
                if (first_found < 0 && gammas.back() <= 0) {
                    first_found = update;
                }
            }
            EXPECT_EQ(first_found, first) << file << " " << name;
            EXPECT_EQ(crossings, reader.integers(name + "/crossings")) << file << " " << name;
            const auto at = [](const std::vector<double>& values, const std::vector<Index>& where) {
                std::vector<double> out;
                for (const Index i : where) {
                    out.push_back(values[static_cast<std::size_t>(i)]);
                }
                return out;
            };
            const std::vector<Index> around{first - 2, first - 1, first, first + 1};
            EXPECT_LE(test::disagreement(at(gammas, updates), reader.doubles(name + "/gamma")), 1e-12)
                << name;
            EXPECT_LE(test::disagreement(at(lambdas, updates), reader.doubles(name + "/lambda")), 1e-12)
                << name;
            EXPECT_LE(
                test::disagreement(at(gammas, around), reader.doubles(name + "/gamma_around_crossing"), 1.0),
                1e-12)
                << name;
            EXPECT_LE(
                test::disagreement(at(lambdas, around), reader.doubles(name + "/lambda_around_crossing")),
                1e-12)
                << name;
        }
    }
}

// The rows of a trace as this implementation finds them, and their comparison with the file.
class Trace {
public:
    Trace(const hdf5::Reader& reader, std::string group)
        : reader_(reader), group_(std::move(group)), steps_(reader.integers(group_ + "/step")) {}

    void record(Index done, const Descent& run) {
        if (next_ < steps_.size() && steps_[next_] == done) {
            if (next_ > 0 && steps_[next_ - 1] == done - 1) {
                // task_loss[k] is J0 before the update that leads to row k+1, where rows are dense.
                task_loss_.push_back(run.task_loss());
                task_row_.push_back(next_ - 1);
            }
            append(theta_, run.weights());
            append(gamma_, run.gamma());
            append(lambda_, run.lambda());
            append(u_, run.u());
            ++next_;
        }
    }
    [[nodiscard]] Index last() const { return steps_.back(); }

    void compare(double tolerance) const {
        EXPECT_EQ(next_, steps_.size()) << group_;
        one("theta", theta_, tolerance);
        one("gamma", gamma_, tolerance);
        one("lambda", lambda_, tolerance);
        if (reader_.has(group_ + "/u")) {
            one("u", u_, tolerance);
        } else {
            EXPECT_TRUE(u_.empty()) << group_;
        }
        const auto stored = reader_.doubles(group_ + "/task_loss");
        std::vector<double> expected;
        for (const std::size_t row : task_row_) {
            expected.push_back(stored[row]);
        }
        EXPECT_LE(test::disagreement(task_loss_, expected), tolerance) << group_ << "/task_loss";
    }

private:
    static void append(std::vector<double>& rows, std::span<const double> row) {
        rows.insert(rows.end(), row.begin(), row.end());
    }
    void one(const std::string& name, const std::vector<double>& found, double tolerance) const {
        EXPECT_LE(test::disagreement(found, reader_.doubles(group_ + "/" + name)), tolerance)
            << group_ << "/" << name;
    }
    const hdf5::Reader& reader_;
    std::string group_;
    std::vector<Index> steps_;
    std::size_t next_ = 0;
    std::vector<double> theta_, gamma_, lambda_, u_, task_loss_;
    std::vector<std::size_t> task_row_;
};

double distance(std::span<const double> a, const std::vector<double>& b) {
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        largest = std::max(largest, std::abs(a[i] - b[i]));
    }
    return largest;
}

TEST(Ace, parity_saddle) {
    const auto files = files_with("methods: ace", "equality/exact/theta");
    if (files.empty()) {
        GTEST_SKIP() << "no saddle problem in reference/methods";
    }
    for (const std::string& file : files) {
        const hdf5::Reader reader(file);
        const Json json = Json::parse(reader.text_attribute("/", "settings"));
        const Index steps = json["steps"];
        for (const std::string constraint : {"equality", "resilient"}) {
            for (const auto& [name, rates] : json["optimisers"].items()) {
                const bool adam = name.starts_with("adam");
                const bool cosine = name == "adam_cosine";
                MethodSettings settings = ace(constraint, adam ? DualKind::adam : DualKind::sgd);
                settings.values.set("rho", json["rho"].get<double>());
                const std::size_t weights = json["theta"];
                const std::size_t gates = json["gamma"];
                Descent run(settings, {.adam = adam}, {reader.doubles("input/H"), reader.doubles("input/c")},
                            std::vector<double>(weights, 0.0), std::vector<double>(gates, 1.0));
                Trace trace(reader, constraint + "/" + name);
                trace.record(0, run);
                for (Index t = 0; t < steps; ++t) {
                    const double part = static_cast<double>(t) / static_cast<double>(steps);
                    const double factor = cosine ? 0.5 * (1 + std::cos(std::numbers::pi * part)) : 1.0;
                    run.step(rates["lr"].get<double>() * factor, rates["dual_lr"].get<double>() * factor);
                    trace.record(t + 1, run);
                }
                trace.compare(adam ? 1e-10 : 1e-12);
                const std::string exact = constraint + "/exact/";
                // The point of it all: the end is the saddle point (with Adam at constant rates it is not).
                if (!adam || cosine) {
                    const double tolerance = adam ? 1e-4 : 1e-12;
                    EXPECT_LE(distance(run.weights(), reader.doubles(exact + "theta")), tolerance);
                    EXPECT_LE(distance(run.gamma(), reader.doubles(exact + "gamma")), tolerance);
                    EXPECT_LE(distance(run.lambda(), reader.doubles(exact + "lambda")), tolerance);
                    if (constraint == "resilient") {
                        EXPECT_LE(distance(run.u(), reader.doubles(exact + "u")), tolerance);
                    }
                }
            }
        }
    }
}

TEST(Ace, parity_variants) {
    const auto files = files_with("methods: ace variants", "");
    if (files.empty()) {
        GTEST_SKIP() << "no file of variants in reference/methods";
    }
    for (const std::string& file : files) {
        const hdf5::Reader reader(file);
        const Json json = Json::parse(reader.text_attribute("/", "settings"));
        for (const auto& [name, variant] : json["variants"].items()) {
            const std::string mode = variant["mode"];
            for (const std::string optimiser : {"sgd", "adam"}) {
                const DualKind dual = dual_kind(optimiser);
                MethodSettings settings = ace("equality", dual);
                if (mode == "nbody" || mode == "qm9") {
                    settings = ace("released-" + mode, dual);
                    settings.values.set("rho", variant["rho"].get<double>());
                } else if (mode == "mocap" || mode == "mocap0") {
                    settings = ace("released-mocap", dual);
                    settings.values.set("epsilon", mode == "mocap0" ? 0.0 : 1.0);
                } else if (mode == "epsilon") {
                    settings.values.set("epsilon", variant["eps_c"].get<double>());
                } else {
                    ASSERT_EQ(mode, "equality") << file;
                }
                settings.values.set("augmented", variant.value("aug", 0.0));
                settings.dual.mean = variant.value("scale", "sum") == "mean";
                const Json& rates = json[optimiser];
                settings.dual.eps = rates.value("eps", 1e-8);
                const Index epoch = 10; // "refreshes its copy every 10 steps (an epoch)"
                Descent run(settings, {.adam = optimiser == "adam", .eps = rates.value("eps", 1e-8)},
                            {reader.doubles("input/H"), reader.doubles("input/c")},
                            std::vector<double>(json["theta"].get<std::size_t>(), 0.0),
                            reader.doubles("input/gamma_start"), epoch);
                Trace trace(reader, name + "/" + optimiser);
                trace.record(0, run);
                for (Index t = 0; t < trace.last(); ++t) {
                    run.step(rates["lr"], rates["dual_lr"]);
                    trace.record(t + 1, run);
                }
                trace.compare(1e-12);
            }
        }
    }
}

} // namespace
} // namespace tether::methods
