// Sites on a probe batch: against the bounds, with gates of zero, and in the run file.
#include "tether/run/probe.hpp"

#include "tests/running/trained_run.hpp"
#include "tests/support/reference.hpp"
#include "tether/core/error.hpp"
#include "tether/run/evaluation.hpp"
#include "tether/run/run_file_reader.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace tether::test {
namespace {

class Probe : public testing::TestWithParam<const char*> {
protected:
    static std::vector<std::string> keys() {
        if (std::string(GetParam()) != "mocap") {
            return {std::string("model.name=") + GetParam(), "model.layers=2",
                    std::string("model.hidden=") + (std::string(GetParam()) == "segnn" ? "4x0e+4x1o" : "6")};
        }
        return {"model.name=egno",
                "model.layers=2",
                "model.hidden=6",
                "data.set=mocap",
                "data.train=20",
                "data.batch=10",
                "data.validation=12",
                "data.test=12",
                std::string("data.file=") + TETHER_SOURCE_DIR + "/data/mocap/run_subject09.h5"};
    }
};

TEST_P(Probe, bounds_hold_on_the_batch_and_vanish_with_the_gates) {
    const run::Setup setup(trained_job(keys()));
    std::vector<double> trained, state;
    setup.network->initialise<double>(7, trained, state);
    const std::vector<double> ones(static_cast<std::size_t>(setup.network->sites()), 1.0);
    run::SiteProbe<double> probe(setup);
    const run::ProbeResult found = probe.measure(trained, state, ones, {});
    ASSERT_EQ(found.sites.ratio.size(), ones.size());
    for (std::size_t i = 0; i < ones.size(); ++i) {
        EXPECT_GT(found.sites.ratio[i], 0) << i;
        EXPECT_GT(found.sites.free_size[i], 0) << i;
        EXPECT_TRUE(std::isfinite(found.sites.lipschitz[i])) << i;
    }
    EXPECT_GT(found.constants.lipschitz, 0);
    EXPECT_GT(found.truncation, 0);
    EXPECT_GE(found.truncation_bound, found.truncation);
    const auto alone = parallel::make_self_communicator();
    parallel::ThreadTeam team(1);
    run::Evaluator<double> evaluator(setup, *alone, team, nullptr);
    const methods::EquivarianceError e =
        evaluator.equivariance(run::Mode::relaxed, data::Split::validation, 16, 3, trained, state, {});
    EXPECT_GT(e.sample_mean, 0);
    EXPECT_LE(e.averaged, e.sample_mean * (1 + 1e-12));
    EXPECT_GE(found.equivariance_bound, e.sample_mean);

    // Gates of zero: branches are there and change nothing.
    std::vector<double> closed = trained;
    for (Index s = 0; s < setup.network->sites(); ++s) {
        closed[static_cast<std::size_t>(setup.network->gate_offset(s))] = 0;
    }
    const std::vector<double> zeros(ones.size(), 0.0);
    const run::ProbeResult none = probe.measure(closed, state, zeros, {});
    EXPECT_EQ(none.equivariance_bound, 0);
    EXPECT_EQ(none.truncation_bound, 0);
    EXPECT_LE(none.truncation, 1e-9);
    EXPECT_EQ(none.sites.ratio[0], found.sites.ratio[0]); // the first site sees what it saw
}

INSTANTIATE_TEST_SUITE_P(Models, Probe, testing::Values("segnn", "egnn", "mocap"),
                         [](const auto& tested) { return std::string(tested.param); });

TEST(ProbeResult, passes_through_a_message) {
    run::ProbeResult r;
    r.sites = {{1, 2}, {3, 4}, {5, 6}, {7, 8}, 0};
    r.constants.gate = 0.5;
    r.equivariance_bound = 9;
    r.truncation = 10;
    std::vector<double> sent{-1};
    r.encode(sent);
    const run::ProbeResult back = run::ProbeResult::decode(std::span<const double>(sent).subspan(1));
    EXPECT_EQ(back.sites.ratio, r.sites.ratio);
    EXPECT_EQ(back.sites.free_lipschitz, r.sites.free_lipschitz);
    EXPECT_EQ(back.constants.gate, 0.5);
    EXPECT_EQ(back.equivariance_bound, 9);
    EXPECT_EQ(back.truncation, 10);
    sent.pop_back();
    EXPECT_THROW((void)run::ProbeResult::decode(std::span<const double>(sent).subspan(1)), Error);
}

TEST(ProbeInARun, strict_networks_have_none) {
    const run::Setup setup(trained_job({"method.name=strict"}));
    EXPECT_THROW(run::SiteProbe<float>{setup}, Error);
}

TEST(ProbeInARun, the_run_file_has_bounds_and_sites) {
    const TemporaryFolder folder;
    const run::RunFileReader ace(train_small(trained_job(), folder.file("ace")) + "/run.h5");
    const std::vector<double> bound = ace.numbers("/symmetry", "bound");
    const std::vector<double> measured = ace.numbers("/symmetry", "sample_mean");
    ASSERT_EQ(bound.size(), 2U);
    for (std::size_t i = 0; i < bound.size(); ++i) {
        EXPECT_GE(bound[i], measured[i]);
        EXPECT_TRUE(std::isfinite(bound[i]));
    }
    for (const char* column : {"averaged", "averaged_projected", "sample_mean_projected", "error_min",
                               "truncation", "truncation_bound", "bound_gate", "bound_lipschitz",
                               "bound_free_lipschitz", "bound_free_size", "bound_input_norm"}) {
        for (const double v : ace.numbers("/symmetry", column)) {
            EXPECT_TRUE(std::isfinite(v)) << column;
        }
    }
    for (const char* column : {"branch_ratio", "free_size", "lipschitz", "free_lipschitz"}) {
        EXPECT_EQ(ace.numbers("/sites", column).size(), 2 * ace.sites().size()) << column;
    }
    const run::RunFileReader strict(train_small(trained_job({"method.name=strict"}), folder.file("strict")) +
                                    "/run.h5");
    EXPECT_TRUE(std::isnan(strict.numbers("/symmetry", "bound").at(0))); // nothing to bound
    EXPECT_GT(strict.numbers("/symmetry", "averaged").at(0), 0);
}

} // namespace
} // namespace tether::test
