// The promise that is never traded away: where a training is computed changes no bit of it. Ranks,
// threads, the coordinator's place and the lanes executed at once are varied; the state and all rows
// of the run file must be equal.
#include "tests/support/reference.hpp"
#include "tests/train/training.hpp"

#include <gtest/gtest.h>

namespace tether::test {
namespace {

void expect_same_everywhere(const Training& training, const std::vector<Place>& places) {
    const TemporaryFolder folder;
    const Record first = train(training, folder.file("first"));
    ASSERT_EQ(first.status, "complete");
    ASSERT_EQ(first.state_sha256.size(), 64U);
    ASSERT_FALSE(first.columns.at("/train/loss").empty());
    ASSERT_FALSE(first.columns.at("/eval/validation/projected").empty());
    for (std::size_t i = 0; i < places.size(); ++i) {
        const Record other = train(training, folder.file("place" + std::to_string(i)), places[i]);
        EXPECT_EQ(difference(other, first), "") << training.job << ", " << places[i].describe();
    }
}

class Lanes : public testing::TestWithParam<std::string> {};

TEST_P(Lanes, threads_and_lanes_at_once_change_no_bit) {
    expect_same_everywhere(small(GetParam(), 40), {{.threads = 2},
                                                   {.threads = 4},
                                                   {.threads = 2, .lanes_at_once = 1},
                                                   {.lanes_at_once = 1},
                                                   {.lanes_at_once = 2},
                                                   {.lanes_at_once = 4}});
}

class PlacementRanks : public testing::Test {
protected:
    void SetUp() override {
        if (!mpi_available()) {
            GTEST_SKIP() << "built without MPI";
        }
    }
};
class Ranks : public PlacementRanks, public testing::WithParamInterface<std::string> {};

TEST_P(Ranks, ranks_and_coordinator_change_no_bit) {
    expect_same_everywhere(small(GetParam(), 40),
                           {{.ranks = 2, .threads = 2}, {.ranks = 4, .dedicated = true}});
}

const auto jobs = testing::Values("segnn_ace_resilient", "segnn_augment", "segnn_free", "segnn_strict",
                                  "egnn_ace", "egnn_ace_resilient", "egnn_augment");
const auto name_of = [](const auto& tested) { return tested.param; };
INSTANTIATE_TEST_SUITE_P(Jobs, Lanes, jobs, name_of);
INSTANTIATE_TEST_SUITE_P(Jobs, Ranks, jobs, name_of);

TEST_F(PlacementRanks, every_number_of_ranks_and_threads_for_ace) {
    std::vector<Place> places{{.launched = true}};
    for (const int ranks : {1, 2, 4, 8}) {
        for (const int threads : {1, 2}) {
            if (ranks * threads > 1) {
                places.push_back({.ranks = ranks, .threads = threads});
            }
        }
    }
    places.push_back({.ranks = 1, .threads = 2, .dedicated = true});
    places.push_back({.ranks = 2, .threads = 1, .dedicated = true});
    places.push_back({.ranks = 8, .threads = 1, .dedicated = true});
    expect_same_everywhere(small("segnn_ace", 60), places);
}

// More ranks than samples in the last batch of an epoch (and lanes without any).
TEST_F(PlacementRanks, fewer_samples_than_ranks) {
    const Training training = small("segnn_ace", 40).with({"data.train=11", "data.batch=8"});
    expect_same_everywhere(training, {{.threads = 2}, {.ranks = 4}, {.ranks = 8}});
}

TEST_F(PlacementRanks, float64_too) {
    expect_same_everywhere(small("segnn_ace", 20).with({"train.precision=float64"}),
                           {{.threads = 2}, {.ranks = 2}});
}

// The job as published, only evaluated on fewer simulations.
TEST_F(PlacementRanks, published_ace_after_200_steps) {
    const TemporaryFolder folder;
    const Training training{"segnn_ace", {"data.validation=50", "data.test=50"}};
    const std::vector<std::string> stop{"--stop-after", "200"};
    const Record first = train(training, folder.file("first"), {}, stop);
    ASSERT_EQ(first.status, "stopped");
    ASSERT_EQ(first.steps, 200);
    const std::vector<Place> places{
        {.threads = 2}, {.ranks = 2}, {.ranks = 4, .threads = 2, .dedicated = true}, {.ranks = 8}};
    for (std::size_t i = 0; i < places.size(); ++i) {
        const Record other = train(training, folder.file("place" + std::to_string(i)), places[i], stop);
        EXPECT_EQ(difference(other, first), "") << places[i].describe();
    }
}

// What the comparison is worth: another seed gives another state.
TEST(Placement, another_seed_is_noticed) {
    const TemporaryFolder folder;
    const Record first = train(small("segnn_ace", 20), folder.file("first"));
    const Record other = train(small("segnn_ace", 20).with({"seed=43"}), folder.file("other"));
    EXPECT_NE(difference(other, first), "");
    EXPECT_NE(other.state_sha256, first.state_sha256);
}

} // namespace
} // namespace tether::test
