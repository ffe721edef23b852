#include "tether/parallel/lanes.hpp"

#include "tether/core/error.hpp"
#include "tether/core/fixed_tree.hpp"
#include "tether/core/log.hpp"

#include <algorithm>
#include <bit>

namespace tether::parallel {

LaneMap::LaneMap(int lanes, int ranks, int rank, int threads)
    : lanes_(lanes), ranks_(ranks), rank_(rank), threads_(1) {
    check(is_power_of_two(lanes), "lanes: parallel.lanes = {}, expected a power of two (1, 2, 4, 8, ...)",
          lanes);
    check(ranks >= 1 && rank >= 0 && rank < ranks, "lanes: rank {} of {} ranks", rank, ranks);
    check(ranks <= lanes && lanes % ranks == 0,
          "lanes: {} lanes cannot be dealt evenly to {} ranks; start a number of ranks that divides {} "
          "(a power of two up to {}){}",
          lanes, ranks, lanes, lanes,
          is_power_of_two(ranks) ? fmt::format(" or set parallel.lanes to at least {}", ranks)
                                 : std::string(", beside one more for a dedicated coordinator"));
    check(threads >= 1, "lanes: {} threads asked for, expected at least 1", threads);
    const int most = std::min(threads, lanes_per_rank());
    threads_ = static_cast<int>(std::bit_floor(static_cast<unsigned>(most)));
    if (threads_ < threads && rank == 0) {
        log::info("lanes: {} of {} threads are used: each rank has {} lanes, and every thread takes the "
                  "same number of them",
                  threads_, threads, lanes_per_rank());
    }
}

LaneRange LaneMap::of_rank(int rank) const {
    check(rank >= 0 && rank < ranks_, "lanes: rank {} of {} ranks", rank, ranks_);
    return {rank * lanes_per_rank(), lanes_per_rank()};
}

LaneRange LaneMap::of_thread(int thread) const {
    check(thread >= 0 && thread < threads_, "lanes: thread {} of {} threads with lanes", thread, threads_);
    return {mine().first + thread * lanes_per_thread(), lanes_per_thread()};
}

int LaneMap::rank_of(int lane) const {
    check(lane >= 0 && lane < lanes_, "lanes: lane {} of {} lanes", lane, lanes_);
    return lane / lanes_per_rank();
}

} // namespace tether::parallel
