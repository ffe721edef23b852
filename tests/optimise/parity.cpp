// Parity of the flat-vector optimiser, clipping and learning rates with torch.optim (files of
// reference/methods that hold optimiser traces; settings are JSON in the file).
#include "tests/support/reference.hpp"
#include "tether/core/hdf5.hpp"
#include "tether/optimise/clip.hpp"
#include "tether/optimise/optimiser.hpp"
#include "tether/optimise/schedule.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <string>
#include <vector>

namespace tether::optimise {
namespace {

using Json = nlohmann::json;

std::vector<std::string> optimiser_files() {
    std::vector<std::string> files;
    for (const std::string& file : test::reference_files("methods")) {
        if (hdf5::Reader(file).text_attribute("/", "model") == "optimise") {
            files.push_back(file);
        }
    }
    return files;
}

OptimiserSettings settings_of(const std::string& name, const Json& json) {
    OptimiserSettings s;
    s.kind = name.starts_with("sgd") ? OptimiserKind::sgd : OptimiserKind::adam;
    if (json.contains("betas")) {
        s.beta1 = json["betas"][0];
        s.beta2 = json["betas"][1];
    }
    s.eps = json.value("eps", s.eps);
    s.momentum = json.value("momentum", 0.0);
    s.weight_decay = json.value("weight_decay", 0.0);
    return s;
}

// The trace of one optimiser in precision T: [steps + 1, components].
template <class T>
std::vector<double> trace(const std::string& name, const Json& json, const std::vector<double>& start,
                          const std::vector<double>& gradients) {
    const auto width = static_cast<Index>(start.size());
    std::vector<Range> ranges;
    for (Index i = 0; i < width; ++i) {
        ranges.push_back({i, i + 1});
    }
    int first = 0;
    int last = -1;
    int absent_steps = 0;
    if (json.contains("absent")) {
        const std::string text = json["absent"];
        EXPECT_EQ(std::sscanf(text.c_str(), "components %d..%d have no gradient in the first %d steps",
                              &first, &last, &absent_steps),
                  3);
    }
    Optimiser<T> optimiser(settings_of(name, json), width, ranges);
    std::vector<T> parameter(start.begin(), start.end());
    std::vector<double> rows = start;
    const auto steps = static_cast<Index>(gradients.size()) / width;
    for (Index step = 0; step < steps; ++step) {
        std::vector<std::uint8_t> reached(start.size(), 1);
        for (int i = first; i <= last && step < absent_steps; ++i) {
            reached[static_cast<std::size_t>(i)] = 0;
        }
        optimiser.set_reached(reached);
        const std::vector<T> gradient(gradients.begin() + step * width,
                                      gradients.begin() + (step + 1) * width);
        optimiser.prepare(json["lr"]);
        optimiser.update(0, width, parameter, gradient);
        rows.insert(rows.end(), parameter.begin(), parameter.end());
    }
    return rows;
}

TEST(Optimiser, parity_reference_traces) {
    const auto files = optimiser_files();
    if (files.empty()) {
        GTEST_SKIP() << "no optimiser file in reference/methods";
    }
    for (const std::string& file : files) {
        const hdf5::Reader reader(file);
        const Json settings = Json::parse(reader.text_attribute("/", "settings"));
        const auto start = reader.doubles("input/start");
        const auto gradients = reader.doubles("input/gradient");
        int compared = 0;
        for (const auto& [name, json] : settings.items()) {
            if (!reader.has(name + "/parameter")) {
                continue;
            }
            const auto expected = reader.doubles(name + "/parameter");
            EXPECT_LE(test::disagreement(trace<double>(name, json, start, gradients), expected), 1e-13)
                << file << " " << name;
            EXPECT_LE(test::disagreement(trace<float>(name, json, start, gradients), expected), 2e-6)
                << file << " " << name;
            ++compared;
        }
        EXPECT_GE(compared, 1) << file;
    }
}

TEST(Clip, parity_reference) {
    const auto files = optimiser_files();
    if (files.empty()) {
        GTEST_SKIP() << "no optimiser file in reference/methods";
    }
    for (const std::string& file : files) {
        const hdf5::Reader reader(file);
        const Json settings = Json::parse(reader.text_attribute("/", "settings"));
        const auto width = reader.shape("input/gradient").at(1);
        for (const std::string name : {"active", "inactive"}) {
            auto gradient = reader.double_rows("input/gradient", 0, 1);
            ASSERT_EQ(static_cast<Index>(gradient.size()), width);
            const double length = norm(std::span<const double>(gradient));
            EXPECT_NEAR(length, reader.doubles("clip/" + name + "/norm").at(0), 1e-14 * length) << file;
            const double factor = clip_factor(length, settings["clip"][name]);
            for (double& g : gradient) {
                g *= factor;
            }
            EXPECT_LE(test::disagreement(gradient, reader.doubles("clip/" + name + "/gradient")), 1e-14)
                << file << " " << name;
        }
    }
}

TEST(Schedule, parity_published_learning_rates) {
    const auto files = optimiser_files();
    if (files.empty()) {
        GTEST_SKIP() << "no optimiser file in reference/methods";
    }
    ScheduleSettings cosine{.kind = ScheduleKind::cosine, .minimum = 1e-3, .ahead = true};
    ScheduleSettings step{.kind = ScheduleKind::step, .factor = 0.7, .every = 20, .ahead = true};
    ScheduleSettings milestones{.kind = ScheduleKind::milestones};
    struct Case {
        std::string name;
        ScheduleSettings settings;
        double base;
    };
    const std::vector<Case> cases{{"schedule_vn_dgcnn", cosine, 0.1},
                                  {"schedule_vn_pointnet", step, 1e-3},
                                  {"segnn_qm9", milestones, 6e-4}};
    int compared = 0;
    for (const std::string& file : files) {
        const hdf5::Reader reader(file);
        for (const Case& c : cases) {
            const std::string path = "learning_rate/" + c.name;
            if (!reader.has(path)) {
                continue;
            }
            const auto expected = reader.doubles(path);
            const auto epochs = static_cast<Index>(expected.size());
            std::vector<double> found;
            for (Index epoch = 0; epoch < epochs; ++epoch) {
                found.push_back(learning_rate(c.settings, c.base, epoch, epochs));
            }
            for (std::size_t e = 0; e < found.size(); ++e) {
                ASSERT_NEAR(found[e], expected[e], 1e-14 * expected[e]) << c.name << " epoch " << e;
            }
            ++compared;
        }
    }
    EXPECT_GE(compared, 1);
}

} // namespace
} // namespace tether::optimise
