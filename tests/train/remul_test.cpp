// `remul` in whole trainings: alpha = 0, beta = 1 is `augment` bit for bit, placement and interruptions
// change no bit of it (weights that follow the gradients included), what does not fit is refused before
// anything is written, and the part out of distribution is logged beside test.
#include "tests/support/reference.hpp"
#include "tests/train/training.hpp"
#include "tether/data/planets.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

namespace tether::test {
namespace {
namespace fs = std::filesystem;

const std::vector<std::string> gradual{"method.name=remul", "method.policy=gradual"};

Training backbone(const std::string& model, Index steps = 30) {
    Training t = small(model + "_remul", steps);
    return model == "transformer" ? t.with({"model.blocks=2", "primal.lr=3e-3"}) : t;
}

TEST(Remul, turned_samples_alone_are_augment_bit_for_bit) {
    for (const std::string model : {"transformer", "mlp"}) {
        const TemporaryFolder folder;
        const Record turned =
            train(backbone(model).with({"method.alpha=0", "method.beta=1"}), folder.file("remul"));
        const Record augment = train(backbone(model).with({"method.name=augment"}), folder.file("augment"));
        EXPECT_EQ(difference(turned, augment), "") << model;
        const Record both = train(backbone(model), folder.file("both"));
        EXPECT_NE(both.state_sha256, augment.state_sha256);
    }
}

// Systems that lie almost upright in training: what a network makes of others it knows by symmetry only.
TEST(Remul, the_second_task_teaches_the_symmetry) {
    const TemporaryFolder folder;
    data::PlanetPlan plan;
    plan.count = {100, 10, 50, 200};
    data::write_trajectories(folder.file("g4.h5"), data::simulate_planets(plan).trajectories);
    const Training training{"../gravity/transformer_free",
                            {"data.file=" + folder.file("g4.h5"), "data.batch=50", "model.hidden=24",
                             "model.heads=4", "model.blocks=1", "primal.lr=3e-3", "train.steps=400",
                             "train.epochs=200", "train.evaluate_every=200", "train.equivariance_samples=3"}};
    const auto outside = [](const Record& r) {
        return r.columns.at("/eval/out_of_distribution/relaxed").back();
    };
    const auto error = [](const Record& r) { return r.columns.at("/symmetry/relative").back(); };
    const Record without = train(training, folder.file("free"));
    const Record with = train(training.with({"method.name=remul"}), folder.file("remul"));
    EXPECT_LT(outside(with), 0.6 * outside(without));
    EXPECT_LT(error(with), 0.6 * error(without));
}

class RemulRanks : public testing::Test {
protected:
    void SetUp() override {
        if (!mpi_available()) {
            GTEST_SKIP() << "built without MPI";
        }
    }
};

TEST_F(RemulRanks, placement_changes_no_bit_of_balanced_weights) {
    const TemporaryFolder folder;
    const Training training = backbone("transformer").with(gradual);
    const Record first = train(training, folder.file("first"));
    const std::vector<Place> places{
        {.threads = 2}, {.lanes_at_once = 1}, {.ranks = 2, .threads = 2}, {.ranks = 4, .dedicated = true}};
    for (std::size_t i = 0; i < places.size(); ++i) {
        const Record other = train(training, folder.file("place" + std::to_string(i)), places[i]);
        EXPECT_EQ(difference(other, first), "") << places[i].describe();
    }
    // The weights are logged, move, and keep their sum; constant ones do neither.
    const auto& weight = first.columns.at("/tasks/weight");
    const auto& turned = first.columns.at("/tasks/turned_weight");
    ASSERT_EQ(weight.size(), first.columns.at("/train/step").size());
    EXPECT_NE(weight.front(), weight.back());
    for (std::size_t i = 0; i < weight.size(); ++i) {
        EXPECT_NEAR(weight[i] + turned[i], 2, 1e-12);
    }
    const Record constant = train(backbone("transformer"), folder.file("constant"));
    EXPECT_EQ(constant.columns.at("/tasks/weight"), std::vector<double>(weight.size(), 1.0));
    EXPECT_NE(constant.state_sha256, first.state_sha256) << "the weights do not follow the gradients";
}

TEST(Remul, goes_on_after_a_stop_as_if_there_had_been_none) {
    for (const auto& keys : {gradual, std::vector<std::string>{}}) {
        const TemporaryFolder folder;
        const Training training = backbone("mlp").with(keys);
        const Record whole = train(training, folder.file("whole"));
        const Record part = train(training, folder.file("runs"), {}, {"--stop-after", "13"});
        ASSERT_EQ(part.status, "stopped");
        const Record resumed = train(training, folder.file("runs"));
        EXPECT_EQ(difference(resumed, whole), "");
    }
}

TEST(Remul, what_does_not_fit_is_refused_and_nothing_is_written) {
    struct Case {
        Training training;
        std::string message;
    };
    for (const Case& c :
         {Case{small("egnn_strict", 5).with({"method.name=remul"}), "method 'remul' is for unconstrained"},
          Case{backbone("mlp").with({"method.name=ace"}), "model 'mlp' is unconstrained"},
          Case{backbone("transformer").with({"method.name=strict"}), "methods for it: free, augment, remul"},
          Case{backbone("mlp").with({"model.nodes=4"}), "model.nodes = 4"},
          Case{backbone("transformer").with({"model.heads=3"}), "no multiple of model.heads"},
          Case{backbone("mlp").with({"method.alpha=0", "method.beta=0"}), "nothing to learn"}}) {
        const TemporaryFolder folder;
        const Outcome outcome = Process(c.training.command(folder.file("runs")), folder.path()).wait();
        EXPECT_EQ(outcome.code, 2) << outcome.err;
        EXPECT_NE(outcome.err.find(c.message), std::string::npos) << outcome.err;
        EXPECT_EQ(only_run(folder.file("runs")), "");
    }
}

TEST(Remul, gravity_jobs_train_and_log_the_part_out_of_distribution) {
    const TemporaryFolder folder;
    data::PlanetPlan plan;
    plan.count = {24, 10, 10, 10};
    data::write_trajectories(folder.file("g4.h5"), data::simulate_planets(plan).trajectories);
    int jobs = 0;
    for (const auto& item : fs::directory_iterator(std::string(TETHER_SOURCE_DIR) + "/jobs/gravity")) {
        const Training training{"../gravity/" + item.path().stem().string(),
                                {"data.file=" + folder.file("g4.h5"), "data.train=24", "data.batch=8",
                                 "model.hidden=16", "model.blocks=2", "train.steps=12",
                                 "train.evaluate_every=2", "train.equivariance_samples=1", "log.every=2"}};
        const Record found = train(training, folder.file("runs" + std::to_string(jobs)));
        EXPECT_EQ(found.columns.at("/eval/out_of_distribution/step"), found.columns.at("/eval/test/step"));
        for (const double v : found.columns.at("/eval/out_of_distribution/relaxed")) {
            EXPECT_TRUE(std::isfinite(v) && v > 0) << v;
        }
        EXPECT_NE(found.columns.at("/eval/out_of_distribution/relaxed"),
                  found.columns.at("/eval/test/relaxed"));
        ++jobs;
    }
    EXPECT_GE(jobs, 4);
}

} // namespace
} // namespace tether::test
