// Every method of the registry on every model of the registry that it fits: a short training is the same
// bit for bit on 1, 2 and 4 ranks and after an interruption. The table is made from the registries; a new
// method or model is in it by itself. A model's own job file (jobs/) says on which data it is trained.
#include "tests/support/reference.hpp"
#include "tests/train/combinations.hpp"
#include "tests/train/training.hpp"
#include "tether/methods/method.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

namespace tether::test {
namespace {

class CombinationRanks : public testing::TestWithParam<Combination> {
protected:
    // The run's record after training at this place.
    [[nodiscard]] Record train_at(const std::string& runs, const Place& place,
                                  const std::vector<std::string>& flags = {}) const {
        const TemporaryFolder folder;
        std::string job = GetParam().job;
        if (job.empty()) {
            job = folder.file("job.toml");
            std::ofstream(job) << job_text(GetParam());
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

INSTANTIATE_TEST_SUITE_P(Registry, CombinationRanks, testing::ValuesIn(combinations()),
                         [](const auto& tested) { return name_of(tested.param); });

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
