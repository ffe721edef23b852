// Every job file that comes with tether trains: a few steps of it, on fewer samples and (but for N-body,
// which runs as published, transformers apart) in a narrow network, end as they should with finite figures.
#include "tests/support/reference.hpp"
#include "tests/train/training.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>

namespace tether::test {
namespace {
namespace fs = std::filesystem;

std::vector<std::string> job_names() {
    std::vector<std::string> out;
    for (const char* set : {"nbody", "mocap"}) {
        for (const auto& item : fs::directory_iterator(std::string(TETHER_SOURCE_DIR) + "/jobs/" + set)) {
            if (item.path().extension() == ".toml") {
                out.push_back(set + ("/" + item.path().stem().string()));
            }
        }
    }
    std::ranges::sort(out);
    return out;
}

class JobFiles : public testing::TestWithParam<std::string> {};

TEST_P(JobFiles, trains_with_finite_figures) {
    const TemporaryFolder folder;
    const bool nbody = GetParam().starts_with("nbody/");
    Training training{std::string(TETHER_SOURCE_DIR) + "/jobs/" + GetParam() + ".toml",
                      {"data.train=32", "data.batch=16", "data.validation=16", "data.test=16",
                       "train.steps=12", "train.evaluate_every=2", "train.equivariance_samples=1",
                       "log.every=2"}};
    if (!nbody || GetParam().find("transformer") != std::string::npos) {
        training.keys.emplace_back("model.hidden=32");
        if (GetParam().find("/eg") != std::string::npos) {
            // Six untrained layers of EGNO reach its clamp on coordinates, which no turn passes through.
            training.keys.emplace_back("model.layers=2");
        }
    }
    const Record found = train(training, folder.file("runs"), {.threads = 2});
    ASSERT_EQ(found.status, "complete");
    EXPECT_EQ(found.steps, 12);
    EXPECT_EQ(found.columns.at("/train/step").size(), 6U);
    EXPECT_EQ(found.columns.at("/eval/test/step").size(), 3U);
    const auto named = [](const char* part) { return GetParam().find(part) != std::string::npos; };
    const bool backbone = named("transformer") || named("mlp");
    const bool sites = !backbone && !named("strict"); // without them there is nothing to bound
    for (const auto& [name, values] : found.columns) {
        const bool of_sites = name.starts_with("/symmetry/bound") || name.starts_with("/symmetry/truncation");
        const bool absent = (of_sites && !sites) || (name == "/constraint/slack" && !named("resilient"));
        for (const double v : values) {
            ASSERT_TRUE(absent || std::isfinite(v)) << name << ": " << v;
        }
    }
    for (const double v : found.best) {
        EXPECT_TRUE(std::isfinite(v)) << v;
    }
    for (const double v : found.columns.at("/eval/validation/projected")) {
        EXPECT_LT(v, nbody ? 10 : 3000); // motion capture: 120 for no motion at all, before any training more
        EXPECT_GT(v, 0);
    }
    // Six figures: a projected network keeps the symmetry (augment has nothing to project).
    for (const double v : found.columns.at("/symmetry/relative_projected")) {
        EXPECT_LT(v, backbone || named("augment") || named("free") ? 10 : 1e-5);
    }
}

const auto file_name = [](const auto& tested) {
    std::string name = tested.param;
    std::ranges::replace(name, '/', '_');
    return name;
};
INSTANTIATE_TEST_SUITE_P(All, JobFiles, testing::ValuesIn(job_names()), file_name);

// A step of every model, and of every method that does something within it, has its figures, and allocates
// nothing.
class Bench : public testing::TestWithParam<std::string> {};

TEST_P(Bench, steps_are_timed_and_allocate_nothing) {
    const TemporaryFolder folder;
    const std::string job = std::string(TETHER_SOURCE_DIR) + "/jobs/" + GetParam() + ".toml";
    std::vector<std::string> arguments{"bench",        job, "--steps", "3",     "--warmup",      "3",
                                       "--threads",    "2", "--json",  "--set", "data.train=32", "--set",
                                       "data.batch=16"};
    const Outcome outcome = tether(arguments, folder.path());
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const auto found = nlohmann::json::parse(outcome.out);
    EXPECT_EQ(found.at("allocations_per_step").get<double>(), 0);
    EXPECT_GT(found.at("gflop_step").get<double>(), 0);
    EXPECT_GT(found.at("step_ms").at("median").get<double>(), 0);
}

INSTANTIATE_TEST_SUITE_P(Jobs, Bench,
                         testing::Values("nbody/segnn_ace", "nbody/segnn_schedule", "nbody/segnn_recm",
                                         "nbody/segnn_rpp", "nbody/egnn_augment", "nbody/mlp_remul",
                                         "nbody/transformer_remul", "mocap/egno_ace_run"),
                         file_name);

TEST(JobFileList, is_the_one_expected) {
    EXPECT_GE(job_names().size(), 30U); // else the tests above test nothing
}

} // namespace
} // namespace tether::test
