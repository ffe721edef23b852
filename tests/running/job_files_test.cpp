// The job files of the project: all of them parse, and they are the experiments they say they are.
#include "tests/running/job_fixture.hpp"

#include <algorithm>
#include <filesystem>
#include <set>

namespace tether::run::test {
namespace fs = std::filesystem;
namespace {

const std::string jobs = std::string(TETHER_SOURCE_DIR) + "/jobs";

Job job_of(const std::string& name, const std::vector<std::string>& overrides = {}) {
    return read_job(jobs + "/" + name + ".toml", overrides);
}

} // namespace

TEST(JobFiles, all_parse_under_names_of_their_own) {
    std::set<std::string> names, hashes;
    int files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(jobs)) {
        if (entry.path().extension() != ".toml" || entry.path().parent_path().filename() == "sweeps") {
            continue;
        }
        ++files;
        const Job job = read_job(entry.path().string());
        EXPECT_TRUE(names.insert(job.name).second) << job.name << " is used twice";
        EXPECT_TRUE(hashes.insert(job.hash()).second) << entry.path() << " is the same job as another file";
        EXPECT_EQ(job.train.precision, Precision::float32) << entry.path();
    }
    EXPECT_GE(files, 11);
}

TEST(JobFiles, nbody_has_the_published_settings) {
    for (const char* method : {"strict", "free", "augment", "ace", "ace_resilient"}) {
        std::string label = method;
        std::replace(label.begin(), label.end(), '_', '-');
        const Job segnn = job_of(std::string("nbody/segnn_") + method);
        EXPECT_EQ(segnn.name, "segnn-" + label);
        EXPECT_EQ(segnn.model.name, "segnn");
        EXPECT_EQ(segnn.method.label(), label);
        EXPECT_EQ(segnn.primal.lr, 9e-4);
        EXPECT_EQ(segnn.data.batch, 100);
        EXPECT_EQ(segnn.data.train, 3000);
        EXPECT_EQ(segnn.train.epochs, 2000);
        EXPECT_EQ(segnn.train.evaluate_every, 5);
        EXPECT_EQ(segnn.seed, 42);
        const Job egnn = job_of(std::string("nbody/egnn_") + method);
        EXPECT_EQ(egnn.name, "egnn-" + label);
        EXPECT_EQ(egnn.model.name, "egnn");
        EXPECT_EQ(egnn.method.label(), label);
        EXPECT_EQ(egnn.primal.lr, 5e-4);
        EXPECT_EQ(egnn.primal.optimiser.weight_decay, 1e-12);
        EXPECT_EQ(egnn.data.batch, 100);
        EXPECT_EQ(segnn.dual.used, label == "ace" || label == "ace-resilient");
        if (segnn.dual.used) {
            EXPECT_EQ(segnn.dual.lr, 8e-4);
            EXPECT_EQ(segnn.dual.optimiser.kind, methods::DualKind::adam);
        }
    }
}

TEST(JobFiles, schedule_has_the_published_settings) {
    const Job job = job_of("nbody/segnn_schedule");
    EXPECT_EQ(job.primal.lr, 5e-4);
    EXPECT_EQ(job.primal.optimiser.weight_decay, 1e-12);
    EXPECT_EQ(job.data.batch, 100);
    EXPECT_EQ(job.train.epochs, 1000);
    EXPECT_EQ(job.method.text("bracket"), "exact");
    EXPECT_EQ(job.method.text("rotation"), "batch");
    EXPECT_EQ(job.method.real("kappa"), 0.01);
}

TEST(JobFiles, a_method_on_the_command_line_is_the_job_of_its_file) {
    for (const char* model : {"segnn", "egnn"}) {
        const std::string base = std::string("nbody/") + model;
        for (const char* method : {"strict", "free", "augment", "ace", "ace_resilient"}) {
            std::string label = method;
            std::replace(label.begin(), label.end(), '_', '-');
            for (const char* from : {"strict", "ace", "ace_resilient"}) {
                EXPECT_EQ(job_of(base + "_" + from, {"method.name=" + label}).hash(),
                          job_of(base + "_" + method).hash())
                    << from << " to " << method;
            }
        }
    }
}

} // namespace tether::run::test
