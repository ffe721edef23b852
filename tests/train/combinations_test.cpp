// Every method of the registry on every model of the registry that it fits: a short training is the same
// bit for bit on 1, 2 and 4 ranks and after an interruption. The table is made from the registries; a new
// method or model is in it by itself. A model's own job file (jobs/) says on which data it is trained.
#include "tests/support/reference.hpp"
#include "tests/train/training.hpp"
#include "tether/core/error.hpp"
#include "tether/methods/method.hpp"
#include "tether/models/registry.hpp"
#include "tether/run/setup.hpp"
#include "tether/run/stored_run.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

namespace tether::test {
namespace {

namespace fs = std::filesystem;

struct Combination {
    std::string model, method;
    std::string job; // a file of jobs/, or "" where no job names the model
    std::vector<std::string> keys;
    friend std::ostream& operator<<(std::ostream& out, const Combination& c) {
        return out << c.method << " on " << c.model;
    }
};

std::string text_of(const std::string& file) {
    std::ifstream in(file);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
}

// For models without a job file whose data are here.
std::string plain_job(const std::string& model) {
    return "name = \"" + model +
           "\"\nseed = 3\n[data]\nset = \"nbody\"\nfile = \"" TETHER_SOURCE_DIR
           "/data/nbody/charged5_small.h5\"\n[model]\nname = \"" +
           model + "\"\n[method]\nname = \"free\"\n[train]\nepochs = 1\n";
}

std::string job_file_of(const std::string& model) {
    std::vector<std::string> found;
    for (const auto& item : fs::recursive_directory_iterator(std::string(TETHER_SOURCE_DIR) + "/jobs")) {
        const std::string name = item.path().filename().string();
        if (item.path().extension() == ".toml" && name.starts_with(model + "_")) {
            found.push_back(item.path().string());
        }
    }
    std::ranges::sort(found);
    // One whose data are here: large sets are made or fetched by people, not by tests.
    const auto usable = std::ranges::find_if(found, [](const std::string& file) {
        try {
            (void)run::read_job(file).data_file();
            return true;
        } catch (const Error&) {
            return false;
        }
    });
    return usable == found.end() ? "" : *usable;
}

// Keys that make any job small, as far as this one has them.
std::vector<std::string> small_keys(const std::string& text, const std::string& path,
                                    const std::string& method) {
    std::vector<std::string> keys{"method.name=" + method};
    for (const char* key :
         {"model.hidden=4x0e+4x1o", "model.hidden=8", "model.layers=2", "model.blocks=2", "model.heads=2",
          "model.head_channels=4", "data.train=24", "data.validation=8", "data.test=8", "data.batch=10",
          "train.epochs=4", "train.evaluate_every=2", "train.equivariance_samples=1", "log.every=1",
          "log.checkpoint_every_s=0", "primal.lr=1e-3"}) {
        std::vector<std::string> with = keys;
        with.emplace_back(key);
        try {
            (void)run::parse_job_text(text, path, with);
            keys = with;
        } catch (const Error&) {
            continue; // not a key of this job
        }
    }
    return keys;
}

// Whether the method fits the model (and the job can be made of both).
bool fits(const std::string& text, const std::string& path, const std::vector<std::string>& keys) {
    try {
        const run::Job job = run::parse_job_text(text, path, keys);
        const auto method = methods::make_method(job.method_settings());
        (void)run::make_network(job, *method);
        return true;
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::usage) << error.what();
        return false;
    }
}

std::vector<Combination> combinations() {
    std::vector<Combination> all;
    for (const models::ModelEntry& model : models::model_table()) {
        const std::string file = job_file_of(model.choice.word);
        const std::string text = file.empty() ? plain_job(model.choice.word) : text_of(file);
        for (const methods::MethodEntry& method : methods::method_table()) {
            Combination c{model.choice.word, method.choice.word, file, {}};
            c.keys = small_keys(text, file.empty() ? "plain.toml" : file, c.method);
            if (fits(text, file.empty() ? "plain.toml" : file, c.keys)) {
                all.push_back(std::move(c));
            }
        }
    }
    return all;
}

class CombinationRanks : public testing::TestWithParam<Combination> {
protected:
    // The run's record after training at this place.
    [[nodiscard]] Record train_at(const std::string& runs, const Place& place,
                                  const std::vector<std::string>& flags = {}) const {
        const TemporaryFolder folder;
        std::string job = GetParam().job;
        if (job.empty()) {
            job = folder.file("job.toml");
            std::ofstream(job) << plain_job(GetParam().model);
        }
        return train({job, GetParam().keys}, runs, place, flags);
    }
};

TEST_P(CombinationRanks, the_same_on_1_2_and_4_ranks_and_after_resume) {
    if (!mpi_available()) {
        GTEST_SKIP() << "built without MPI";
    }
    const TemporaryFolder folder;
    const Record first = train_at(folder.file("first"), {});
    ASSERT_EQ(first.status, "complete");
    ASSERT_GT(first.steps, 5); // so that there is something left after the interruption
    for (const double loss : first.columns.at("/train/loss")) {
        ASSERT_TRUE(std::isfinite(loss));
    }
    // Interrupted in the middle of an epoch on two ranks, ended on four.
    const Record stopped = train_at(folder.file("other"), {.ranks = 2}, {"--stop-after", "5"});
    ASSERT_EQ(stopped.steps, 5);
    const Record other = train_at(folder.file("other"), {.ranks = 4});
    EXPECT_EQ(difference(other, first), "") << GetParam();
}

const auto name_of = [](const auto& tested) {
    std::string name = tested.param.model + "_" + tested.param.method;
    std::ranges::replace(name, '-', '_');
    return name;
};
INSTANTIATE_TEST_SUITE_P(Registry, CombinationRanks, testing::ValuesIn(combinations()), name_of);

// The table is worth something only if it holds what it should.
TEST(Combinations, methods_that_decide_about_branches_are_on_all_models_with_sites) {
    std::size_t with_sites = 0;
    for (const Combination& c : combinations()) {
        with_sites += c.method == "schedule" ? 1 : 0;
    }
    EXPECT_GE(with_sites, 2U);
    for (const std::string& method : methods::method_names()) {
        const auto all = combinations();
        EXPECT_TRUE(std::ranges::any_of(all, [&](const Combination& c) { return c.method == method; }))
            << method << " fits no model";
    }
}

} // namespace
} // namespace tether::test
