// Three hundred kills over ranks and moments: alone, with threads, on two ranks, with a coordinator of
// its own. Nothing is lost: every training ends as one that was never killed. TETHER_KILLS asks for more.
#include "tests/train/kills.hpp"

#include <gtest/gtest.h>

#include <future>

namespace tether::test {
namespace {

TEST(Kills, three_hundred_over_ranks_and_moments) {
    const int all = wanted_kills(300);
    const auto share = [&](int percent) { return (all * percent + 99) / 100; };
    const auto tiny = [](const std::string& job) {
        return small(job, 300).with(
            {"model.hidden=" + std::string(job.starts_with("egnn") ? "4" : "2x0e+2x1o"), "data.train=40",
             "data.validation=8", "data.test=8", "log.checkpoint_every_steps=25",
             "train.equivariance_samples=0"});
    };
    // Side by side: most of the time everybody waits for the moment of the next kill.
    const auto beside = [](auto&& work) { return std::async(std::launch::async, work); };
    const std::future<void> parts[] = {
        beside([&] { expect_kills_do_no_harm(tiny("egnn_ace"), {}, share(30), 21); }),
        beside([&] { expect_kills_do_no_harm(tiny("egnn_ace"), {}, share(30), 22); }),
        beside([&] { expect_kills_do_no_harm(tiny("segnn_ace_resilient"), {.threads = 2}, share(25), 23); }),
        beside([&] {
            if (mpi_available()) {
                expect_kills_do_no_harm(tiny("egnn_ace"), {.ranks = 2}, share(8), 24);
                expect_kills_do_no_harm(tiny("egnn_ace_resilient"), {.ranks = 2, .dedicated = true}, share(7),
                                        25);
            } else {
                expect_kills_do_no_harm(tiny("egnn_ace_resilient"), {}, share(15), 25);
            }
        })};
    for (const std::future<void>& part : parts) {
        part.wait();
    }
}

} // namespace
} // namespace tether::test
