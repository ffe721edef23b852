// Runs read back: predictions agree with what training wrote down; imported weights train on.
#include "tests/running/trained_run.hpp"
#include "tests/support/reference.hpp"
#include "tether/core/log.hpp"
#include "tether/run/lease.hpp"
#include "tether/run/run_file_reader.hpp"
#include "tether/run/stored_run.hpp"

#include <gtest/gtest.h>

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

namespace tether::test {
namespace {
using namespace tether::run;
namespace fs = std::filesystem;

template <class Call>
std::string failure(ExitCode code, Call&& call) {
    try {
        call();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), code) << error.what();
        return error.what();
    }
    ADD_FAILURE() << "no error";
    return {};
}

double mean_square(const StoredRun& run, Mode mode) {
    const data::GraphSet set = run.open_data();
    const data::Field& target = set.field("target");
    double sum = 0;
    Index count = 0;
    for (const Index sample : set.samples(data::Split::test)) { // one at a time: other sums than training's
        const std::vector<double> found = run.predict(set, {sample}, mode);
        const auto first =
            static_cast<std::size_t>(set.node_begin[static_cast<std::size_t>(sample)] * target.width);
        for (std::size_t i = 0; i < found.size(); ++i) {
            sum += (found[i] - target.values[first + i]) * (found[i] - target.values[first + i]);
            ++count;
        }
    }
    return sum / static_cast<double>(count);
}

TEST(StoredRun, predicts_what_training_reported) {
    for (const auto& overrides :
         {std::vector<std::string>{}, {"method.name=strict", "train.precision=float64"}, small_egnn()}) {
        const TemporaryFolder runs;
        const std::string folder = train_small(trained_job(overrides), runs.path());
        const BestFigures best = RunFileReader(folder + "/run.h5").state().best;
        const StoredRun projected(folder, CheckpointKind::best_projected);
        EXPECT_EQ(projected.step(), best.projected_step);
        EXPECT_NEAR(mean_square(projected, Mode::projected), best.projected_test, 1e-5 * best.projected_test);
        const StoredRun relaxed(runs.path(), CheckpointKind::best_relaxed); // a folder with a single run
        EXPECT_EQ(relaxed.folder(), folder);
        EXPECT_NEAR(mean_square(relaxed, Mode::relaxed), best.relaxed_test, 1e-5 * best.relaxed_test);
    }
}

TEST(StoredRun, is_read_while_somebody_trains_it) {
    const TemporaryFolder runs;
    const std::string folder = train_small(trained_job(), runs.path(), 3);
    const Lease writer(folder);
    EXPECT_EQ(StoredRun(folder, CheckpointKind::last).step(), 3);
    EXPECT_EQ(StoredRun(folder + "/run.h5").step(), 2); // the first evaluation
    fs::remove(folder + "/job.toml");
    EXPECT_EQ(StoredRun(folder, CheckpointKind::last).step(), 3); // by the copy in the run file
}

TEST(StoredRun, says_what_is_not_there) {
    const TemporaryFolder runs;
    EXPECT_NE(failure(ExitCode::usage, [&] { StoredRun(runs.file("nothing")); }).find("no such run"),
              std::string::npos);
    EXPECT_NE(failure(ExitCode::usage, [&] { StoredRun(runs.path()); }).find("no run here"),
              std::string::npos);
    const std::string folder = train_small(trained_job(), runs.path(), 1);
    EXPECT_NE(failure(ExitCode::data, [&] { StoredRun{folder}; }).find("--checkpoint last"),
              std::string::npos);
    fs::remove_all(folder + "/checkpoint");
    EXPECT_NE(failure(ExitCode::data, [&] { StoredRun{folder}; }).find("no checkpoint yet"),
              std::string::npos);
    (void)train_small(trained_job({"seed=8"}), runs.path(), 1);
    EXPECT_NE(failure(ExitCode::usage, [&] { StoredRun(runs.path()); }).find("holds 2 runs"),
              std::string::npos);
}

TEST(StoredRun, export_import_export_is_bitwise_and_trains_on) {
    for (const auto& overrides : {std::vector<std::string>{},
                                  {"train.precision=float64", "method.name=ace-resilient"},
                                  small_egnn()}) {
        const TemporaryFolder files;
        const Job job = trained_job(overrides);
        const StoredRun first(train_small(job, files.file("runs"), 2), CheckpointKind::last);
        write_weights(files.file("w.h5"), job, first.step(), first.network(), first.network(),
                      first.numbers());
        const std::string folder = import_run(job, files.file("w.h5"), files.file("warm"));
        const StoredRun second(folder, CheckpointKind::last);
        EXPECT_EQ(second.step(), 0);
        const auto parameters = [](const StoredRun& run) { // slacks are the method's, and start afresh
            const auto first_number = run.numbers().trained.begin();
            return std::vector<double>(first_number, first_number + run.network().parameters().size());
        };
        EXPECT_EQ(parameters(second), parameters(first));
        EXPECT_EQ(second.numbers().state, first.numbers().state);
        EXPECT_EQ(second.numbers().gates, first.numbers().gates);
        write_weights(files.file("again.h5"), job, second.step(), second.network(), second.network(),
                      second.numbers());
        const hdf5::Reader one(files.file("w.h5"));
        const hdf5::Reader two(files.file("again.h5"));
        EXPECT_EQ(one.datasets("/"), two.datasets("/"));
        for (const std::string& name : one.datasets("/weight")) {
            EXPECT_EQ(one.doubles("/weight/" + name), two.doubles("/weight/" + name)) << name;
        }
        EXPECT_EQ(RunFileReader(folder + "/run.h5").state().status, RunStatus::stopped);
        const long warnings = log::warning_count();
        EXPECT_EQ(train_small(job, files.file("warm")), folder);
        EXPECT_EQ(log::warning_count(), warnings);
        EXPECT_EQ(RunFileReader(folder + "/run.h5").state().status, RunStatus::complete);
        // Not the weights of a fresh start:
        const StoredRun warm(folder, CheckpointKind::last);
        const StoredRun fresh(train_small(job, files.file("fresh")), CheckpointKind::last);
        EXPECT_EQ(warm.step(), fresh.step());
        EXPECT_NE(warm.numbers().trained, fresh.numbers().trained);
    }
}

TEST(StoredRun, import_overwrites_nothing_and_leaves_nothing_behind) {
    const TemporaryFolder files;
    const Job job = trained_job();
    const StoredRun run(train_small(job, files.file("runs"), 1), CheckpointKind::last);
    write_weights(files.file("w.h5"), job, run.step(), run.network(), run.network(), run.numbers());
    EXPECT_NE(failure(ExitCode::usage, [&] { (void)import_run(job, files.file("w.h5"), files.file("runs")); })
                  .find("--runs"),
              std::string::npos);
    const Job wider = trained_job({"model.hidden=5x0e+4x1o"});
    EXPECT_NE(
        failure(ExitCode::data, [&] { (void)import_run(wider, files.file("w.h5"), files.file("warm")); })
            .find("expected ["),
        std::string::npos);
    EXPECT_FALSE(fs::exists(files.file("warm")));
}

TEST(StoredRun, time_of_training_goes_on_after_a_stop) {
    const TemporaryFolder folder;
    const Job job = trained_job({"log.every=1"});
    const std::string run = train_small(job, folder.path(), 2);
    const double before = RunFileReader(run + "/run.h5").numbers("/train", "wall_s").back();
    EXPECT_EQ(train_small(job, folder.path()), run);
    const std::vector<double> wall = RunFileReader(run + "/run.h5").numbers("/train", "wall_s");
    ASSERT_EQ(wall.size(), 4U);
    EXPECT_EQ(wall[1], before);
    EXPECT_TRUE(std::ranges::is_sorted(wall)) << fmt::format("{}", fmt::join(wall, " "));
}

} // namespace
} // namespace tether::test
