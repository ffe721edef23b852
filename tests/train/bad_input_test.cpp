// What people do wrong on the command line, in job files and with data: one message that says where,
// what was found and what was expected, the exit code of the interface, and nothing left behind.
#include "tests/support/reference.hpp"
#include "tests/train/training.hpp"
#include "tether/core/hdf5.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>

namespace tether::test {
namespace {
namespace fs = std::filesystem;

struct Mistake {
    std::string name;
    std::string job = "segnn_ace";
    std::vector<std::string> keys;
    std::vector<std::string> flags;
    int code = 2;
    std::vector<std::string> said; // all of these are in the message
};

std::ostream& operator<<(std::ostream& to, const Mistake& mistake) { return to << mistake.name; }

// One line of error, the words in it, nothing on stdout, no run.
void expect_refused(const Outcome& outcome, int code, const std::vector<std::string>& said,
                    const std::string& runs) {
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.err.rfind("error: ", 0), 0U) << outcome.err;
    EXPECT_EQ(outcome.err.find("error: ", 1), std::string::npos) << "more than one message\n" << outcome.err;
    for (const std::string& words : said) {
        EXPECT_NE(outcome.err.find(words), std::string::npos)
            << "'" << words << "' is not in: " << outcome.err;
    }
    EXPECT_FALSE(fs::exists(runs)) << "a run folder was made";
}

class BadInput : public testing::TestWithParam<Mistake> {};

TEST_P(BadInput, is_refused_with_one_message) {
    const Mistake& m = GetParam();
    const TemporaryFolder folder;
    const std::string runs = folder.file("runs");
    Training training = small(m.job, 5).with(m.keys);
    expect_refused(tether(training.arguments(runs, {}, m.flags), folder.path()), m.code, m.said, runs);
}

INSTANTIATE_TEST_SUITE_P(
    CommandLine, BadInput,
    testing::Values(
        Mistake{"precision_of_devices_on_cores",
                "segnn_ace",
                {"train.precision=tf32"},
                {},
                2,
                {"train.precision = \"tf32\"", "float32 and float64", "--device cuda"}},
        Mistake{"misspelt_section",
                "segnn_ace",
                {"modle.layers=2"},
                {},
                2,
                {"--set modle.layers=2", "[modle]", "'model'"}},
        Mistake{"misspelt_key",
                "segnn_ace",
                {"model.layres=2"},
                {},
                2,
                {"model.layres", "did you mean 'model.layers'"}},
        Mistake{"wrong_type",
                "segnn_ace",
                {"primal.lr=fast"},
                {},
                2,
                {"primal.lr", "\"fast\" (text)", "expected real"}},
        Mistake{"fraction_for_a_count",
                "segnn_ace",
                {"data.batch=2.5"},
                {},
                2,
                {"data.batch", "2.5", "expected integer"}},
        Mistake{"out_of_range", "segnn_ace", {"primal.lr=-1"}, {}, 2, {"primal.lr", "-1", "0 .. 1000000"}},
        Mistake{"misspelt_choice",
                "segnn_ace",
                {"dual.optimizer=adma"},
                {},
                2,
                {"dual.optimizer", "adma", "did you mean 'adam'"}},
        Mistake{"lanes_no_power_of_two",
                "segnn_ace",
                {"parallel.lanes=6"},
                {},
                2,
                {"parallel.lanes", "6", "power of two"}},
        Mistake{"resilient_with_signed_dual",
                "segnn_ace_resilient",
                {"dual.signed=true"},
                {},
                2,
                {"impossible combination", "\"resilient\"", "dual.signed = true"}},
        Mistake{"irreps_that_are_none", "segnn_ace", {"model.hidden=4x0e+4y1o"}, {}, 2, {"4y1o"}},
        Mistake{"dedicated_coordinator_alone",
                "segnn_ace",
                {},
                {"--set", "parallel.coordinator=dedicated"},
                2,
                {"dedicated", "mpirun -np 2"}},
        Mistake{"misspelt_flag",
                "segnn_ace",
                {},
                {"--divice", "cpu"},
                2,
                {"--divice", "did you mean '--device'"}},
        Mistake{"stop_no_number", "segnn_ace", {}, {"--stop-after", "many"}, 2, {"--stop-after", "many"}},
        Mistake{"resume_word", "segnn_ace", {}, {"--resume", "alwyas"}, 2, {"--resume", "alwyas"}},
        Mistake{"no_such_job", "segn_ace", {}, {}, 2, {"segn_ace.toml", "does not exist"}},
        Mistake{"no_such_data",
                "segnn_ace",
                {"data.file=/absent/nbody.h5"},
                {},
                3,
                {"/absent/nbody.h5", "tether data"}},
        Mistake{"more_samples_than_there_are", "segnn_ace", {"data.train=10001"}, {}, 3, {"10001", "10000"}},
        Mistake{"frame_that_is_not_stored", "segnn_ace", {"data.frame_out=48"}, {}, 3, {"frame", "48"}}),
    [](const auto& tested) { return tested.param.name; });

TEST(BadJobFile, error_names_file_and_line) {
    const TemporaryFolder folder;
    const std::string runs = folder.file("runs");
    const auto job = [&](const std::string& text) {
        std::ofstream(folder.file("job.toml")) << text;
        return tether({"train", folder.file("job.toml"), "--runs", runs}, folder.path());
    };
    const std::string path = folder.file("job.toml");
    expect_refused(job("name = \"x\"\n[data]\nset = \"nbody\"\nbatsh = 3\n"), 2,
                   {path + ":4", "batsh", "batch"}, runs);
    expect_refused(job("name = \"x\"\n[data\n"), 2, {path + ":2"}, runs);
    expect_refused(job(""), 2, {path}, runs);
    expect_refused(job(std::string(100, '\0')), 2, {path}, runs);
}

TEST(BadDevice, cuda_without_cuda_is_15) {
#ifdef TETHER_BUILT_WITH_CUDA
    GTEST_SKIP() << "this build has CUDA";
#else
    const TemporaryFolder folder;
    const std::string runs = folder.file("runs");
    expect_refused(tether(small("segnn_ace", 5).arguments(runs, {}, {"--device", "cuda"}), folder.path()), 15,
                   {"--device cuda", "cpu"}, runs);
#endif
}

class BadInputRanks : public testing::Test {
    void SetUp() override {
        if (!mpi_available()) {
            GTEST_SKIP() << "built without MPI";
        }
    }
};

// One of the ranks tells; all end with the code.
TEST_F(BadInputRanks, ranks_that_do_not_divide_the_lanes) {
    const TemporaryFolder folder;
    const std::string runs = folder.file("runs");
    const Outcome outcome = Process(small("segnn_ace", 5).command(runs, {.ranks = 3}), folder.path()).wait();
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    EXPECT_NE(outcome.err.find("lanes"), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find("3 ranks"), std::string::npos) << outcome.err;
    // Rank 0 tells; on a slow machine others may be faster than the launcher, with the same words. The
    // launcher's own lines may come before, between and after.
    const std::size_t first = outcome.err.find("error: ");
    ASSERT_NE(first, std::string::npos) << outcome.err;
    const std::string told = outcome.err.substr(first, outcome.err.find('\n', first) - first);
    for (std::size_t at = 0; (at = outcome.err.find("error: ", at)) != std::string::npos; ++at) {
        EXPECT_EQ(outcome.err.substr(at, outcome.err.find('\n', at) - at), told);
    }
    EXPECT_FALSE(fs::exists(runs));
}

TEST_F(BadInputRanks, absent_data_end_all_ranks_with_3) {
    const TemporaryFolder folder;
    const std::string runs = folder.file("runs");
    const Training training = small("segnn_ace", 5).with({"data.file=/absent/nbody.h5"});
    const Outcome outcome = Process(training.command(runs, {.ranks = 2}), folder.path()).wait();
    EXPECT_EQ(outcome.code, 3) << outcome.err;
    EXPECT_NE(outcome.err.find("/absent/nbody.h5"), std::string::npos) << outcome.err;
    EXPECT_FALSE(fs::exists(runs));
}

const std::string real_data = std::string(TETHER_SOURCE_DIR) + "/data/nbody/charged5_small.h5";

TEST(BadData, truncated_file_is_refused_at_every_length) {
    const TemporaryFolder folder;
    const std::string runs = folder.file("runs");
    const std::string file = folder.file("data.h5");
    for (const double part : {0.0, 0.01, 0.5, 0.999}) {
        fs::copy_file(real_data, file, fs::copy_options::overwrite_existing);
        fs::permissions(file, fs::perms::owner_all);
        fs::resize_file(file,
                        static_cast<std::uintmax_t>(part * static_cast<double>(fs::file_size(real_data))));
        const Training training = small("segnn_ace", 5).with({"data.file=" + file});
        expect_refused(tether(training.arguments(runs), folder.path()), 3, {file}, runs);
    }
}

// A number in the middle of a data set becomes NaN (or infinite).
void expect_value_is_refused(double value) {
    const TemporaryFolder folder;
    const std::string runs = folder.file("runs");
    const std::string file = folder.file("data.h5");
    fs::copy_file(real_data, file);
    fs::permissions(file, fs::perms::owner_all);
    {
        const hdf5::Handle h(H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
        ASSERT_TRUE(h.valid());
        const hdf5::Handle d(H5Dopen2(h.id(), "/loc", H5P_DEFAULT), H5Dclose);
        const hdf5::Handle space(H5Dget_space(d.id()), H5Sclose);
        const hsize_t start[4] = {7, 1, 2, 1}; // a training simulation, frame 30
        const hsize_t count[4] = {1, 1, 1, 1};
        ASSERT_GE(H5Sselect_hyperslab(space.id(), H5S_SELECT_SET, start, nullptr, count, nullptr), 0);
        const hdf5::Handle one(H5Screate_simple(4, count, nullptr), H5Sclose);
        ASSERT_GE(H5Dwrite(d.id(), H5T_NATIVE_DOUBLE, one.id(), space.id(), H5P_DEFAULT, &value), 0);
    }
    const Training training = small("segnn_ace", 5).with({"data.file=" + file});
    expect_refused(tether(training.arguments(runs), folder.path()), 3, {file, "/loc"}, runs);
}

TEST(BadData, nan_is_refused) { expect_value_is_refused(std::numeric_limits<double>::quiet_NaN()); }
TEST(BadData, infinity_is_refused) { expect_value_is_refused(-std::numeric_limits<double>::infinity()); }

// Learning rates that blow up: the step is named, the run says failed, no checkpoint holds a NaN.
void expect_divergence_is_12(const Training& training, const Place& place) {
    const TemporaryFolder folder;
    const std::string runs = folder.file("runs");
    fs::create_directories(runs);
    const Outcome outcome = Process(training.command(runs, place), folder.path()).wait();
    EXPECT_EQ(outcome.code, 12) << outcome.err;
    EXPECT_NE(outcome.err.find("step "), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find("primal.lr"), std::string::npos) << outcome.err;
    ASSERT_NE(only_run(runs), "");
    EXPECT_EQ(read_record(only_run(runs)).status, "failed");
    EXPECT_EQ(newest_checkpoint(only_run(runs)), 0);
}

TEST(Divergence, ends_with_12_and_the_run_says_failed) {
    for (const std::string job : {"segnn_ace", "egnn_ace"}) {
        expect_divergence_is_12(small(job, 100).with({"primal.lr=1e6"}), {.threads = 2});
    }
}

TEST_F(BadInputRanks, divergence_ends_all_ranks_with_12) {
    expect_divergence_is_12(small("egnn_ace", 100).with({"primal.lr=1e6"}), {.ranks = 2});
}

} // namespace
} // namespace tether::test
