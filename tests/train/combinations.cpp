#include "tests/train/combinations.hpp"

#include "tether/core/error.hpp"
#include "tether/methods/method.hpp"
#include "tether/models/registry.hpp"
#include "tether/run/setup.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace tether::test {
namespace {

namespace fs = std::filesystem;

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

} // namespace

std::string job_text(const Combination& c) { return c.job.empty() ? plain_job(c.model) : text_of(c.job); }

std::vector<Combination> combinations() {
    std::vector<Combination> all;
    for (const models::ModelEntry& model : models::model_table()) {
        const std::string file = job_file_of(model.choice.word);
        for (const methods::MethodEntry& method : methods::method_table()) {
            Combination c{model.choice.word, method.choice.word, file, {}};
            const std::string text = job_text(c);
            c.keys = small_keys(text, file.empty() ? "plain.toml" : file, c.method);
            if (fits(text, file.empty() ? "plain.toml" : file, c.keys)) {
                all.push_back(std::move(c));
            }
        }
    }
    return all;
}

std::string name_of(const Combination& c) {
    std::string name = c.model + "_" + c.method;
    std::ranges::replace(name, '-', '_');
    return name;
}

} // namespace tether::test
