// Every lane has one owner, blocks are subtrees, impossible numbers are told with what to change.
#include "tether/core/error.hpp"
#include "tether/parallel/lanes.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tether::parallel {
namespace {

TEST(Lanes, every_lane_has_one_owner) {
    for (int lanes = 1; lanes <= 64; lanes *= 2) {
        for (int ranks = 1; ranks <= lanes; ranks *= 2) {
            for (int threads = 1; threads <= 9; ++threads) {
                std::vector<int> owners(static_cast<std::size_t>(lanes), 0);
                for (int rank = 0; rank < ranks; ++rank) {
                    const LaneMap map(lanes, ranks, rank, threads);
                    EXPECT_LE(map.threads(), threads);
                    EXPECT_GT(2 * map.threads(),
                              std::min(threads, lanes / ranks)); // no more wasted than needed
                    for (int thread = 0; thread < map.threads(); ++thread) {
                        const LaneRange range = map.of_thread(thread);
                        EXPECT_EQ(range.first % range.count, 0) << "not a subtree";
                        for (int lane = range.first; lane < range.end(); ++lane) {
                            ++owners[static_cast<std::size_t>(lane)];
                            EXPECT_EQ(map.rank_of(lane), rank);
                            EXPECT_GE(lane, map.mine().first);
                            EXPECT_LT(lane, map.mine().end());
                        }
                    }
                }
                EXPECT_EQ(owners, std::vector<int>(owners.size(), 1));
            }
        }
    }
}

std::string message_of(int lanes, int ranks, int rank, int threads) {
    try {
        const LaneMap map(lanes, ranks, rank, threads);
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::usage);
        return error.what();
    }
    return "no error";
}

TEST(Lanes, impossible_numbers_are_told_with_what_to_change) {
    EXPECT_EQ(message_of(6, 1, 0, 1), "lanes: parallel.lanes = 6, expected a power of two (1, 2, 4, 8, ...)");
    EXPECT_NE(message_of(0, 1, 0, 1), "no error");
    EXPECT_NE(message_of(-8, 1, 0, 1), "no error");
    const std::string three = message_of(8, 3, 0, 1);
    EXPECT_NE(three.find("8 lanes cannot be dealt evenly to 3 ranks"), std::string::npos) << three;
    EXPECT_NE(three.find("a power of two up to 8"), std::string::npos) << three;
    const std::string many = message_of(8, 16, 3, 1);
    EXPECT_NE(many.find("set parallel.lanes to at least 16"), std::string::npos) << many;
    EXPECT_NE(message_of(8, 2, 0, 0).find("0 threads"), std::string::npos);
    EXPECT_NE(message_of(8, 2, 2, 1), "no error");
    const LaneMap map(8, 2, 1, 4);
    EXPECT_THROW((void)map.of_thread(4), Error);
    EXPECT_THROW((void)map.of_rank(2), Error);
    EXPECT_THROW((void)map.rank_of(8), Error);
    EXPECT_EQ(map.of_thread(3), (LaneRange{7, 1}));
}

} // namespace
} // namespace tether::parallel
