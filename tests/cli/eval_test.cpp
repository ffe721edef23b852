// tether eval on a small real run: its figures are those of the run file, its errors say what to do.
#include "tests/running/trained_run.hpp"
#include "tests/support/reference.hpp"
#include "tether/cli/eval_command.hpp"
#include "tether/core/error.hpp"
#include "tether/run/run_file_reader.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <filesystem>
#include <memory>

namespace tether::test {
namespace {
using nlohmann::json;

struct Result {
    int code = 0;
    std::string out, err;
};

Result eval(const std::vector<std::string>& arguments) {
    Result result;
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    try {
        result.code = cli::eval_command(arguments);
    } catch (const Error& error) {
        result.code = static_cast<int>(error.code());
        result.err = error.what();
    }
    result.out = testing::internal::GetCapturedStdout();
    result.err += testing::internal::GetCapturedStderr();
    return result;
}

class EvalCommand : public testing::Test {
protected:
    static void SetUpTestSuite() {
        runs_ = std::make_unique<TemporaryFolder>();
        folder_ = train_small(trained_job(), runs_->path());
    }
    static void TearDownTestSuite() { runs_.reset(); }
    inline static std::unique_ptr<TemporaryFolder> runs_;
    inline static std::string folder_;
};

TEST_F(EvalCommand, repeats_the_figures_of_the_run) {
    const run::BestFigures best = run::RunFileReader(folder_ + "/run.h5").state().best;
    const json projected = json::parse(eval({folder_, "--json", "--threads", "1"}).out);
    EXPECT_EQ(projected["mode"], "projected"); // primary evaluation of ace
    EXPECT_EQ(projected["split"], "test");
    EXPECT_EQ(projected["samples"], 16);
    EXPECT_EQ(projected["step"], best.projected_step);
    EXPECT_EQ(projected["loss"], best.projected_test);
    EXPECT_DOUBLE_EQ(projected["metrics"]["rmse"]["value"], std::sqrt(best.projected_test));
    EXPECT_EQ(projected["metrics"]["rmse"]["units"], "1");
    EXPECT_EQ(projected["equivariance_error"]["elements"], 2); // of the job
    EXPECT_LT(projected["equivariance_error"]["relative"], 1e-5);

    const json relaxed = json::parse(eval({folder_, "--json", "--mode", "relaxed", "--split", "validation",
                                           "--elements", "3", "--threads", "2"})
                                         .out);
    EXPECT_EQ(relaxed["loss"], best.relaxed_validation); // whatever the number of threads
    EXPECT_EQ(relaxed["step"], best.relaxed_step);
    EXPECT_EQ(relaxed["equivariance_error"]["elements"], 3);
    EXPECT_GT(relaxed["equivariance_error"]["relative"], 1e-3);
    EXPECT_GE(relaxed["equivariance_error"]["sample_mean"], relaxed["equivariance_error"]["averaged"]);
}

TEST_F(EvalCommand, prints_a_table) {
    const Result r = eval({folder_, "--checkpoint", "last", "--elements", "0"});
    EXPECT_EQ(r.code, 0) << r.err;
    for (const char* part : {"step 4", "projected, 16 samples of the test split", "loss", "mse", "rmse"}) {
        EXPECT_NE(r.out.find(part), std::string::npos) << r.out;
    }
    EXPECT_EQ(r.out.find("equivariance error under"), std::string::npos) << r.out;
}

TEST_F(EvalCommand, says_what_to_do) {
    EXPECT_EQ(eval({}).code, 2);
    EXPECT_NE(eval({folder_, "--splt", "test"}).err.find("--split"), std::string::npos);
    EXPECT_EQ(eval({folder_, "--mode", "relxed"}).code, 2);
    EXPECT_EQ(eval({runs_->file("nothing")}).code, 2);
    const Result no_data = eval({folder_, "--data", runs_->file("no.h5")});
    EXPECT_EQ(no_data.code, 3);
    EXPECT_NE(no_data.err.find("--data"), std::string::npos) << no_data.err;
    const TemporaryFolder other;
    const std::string early = train_small(trained_job(), other.path(), 1);
    std::filesystem::remove_all(early + "/checkpoint");
    const Result none = eval({early});
    EXPECT_EQ(none.code, 3);
    EXPECT_NE(none.err.find("no checkpoint yet"), std::string::npos) << none.err;
}

TEST_F(EvalCommand, Warns_of_other_data) {
    const std::string other = TETHER_SOURCE_DIR "/tests/reference/nbody/charged5_first8.h5";
    const TemporaryFolder runs;
    const std::string folder = train_small(
        trained_job({"data.train=0", "data.validation=0", "data.test=0", "train.steps=2"}), runs.path());
    const Result r = eval({folder, "--data", other, "--checkpoint", "last", "--elements", "0"});
    EXPECT_NE((r.err + r.out).find("not what the run was trained on"), std::string::npos) << r.err;
}

} // namespace
} // namespace tether::test
