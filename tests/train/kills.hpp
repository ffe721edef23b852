// Trainings that are watched from outside and killed at random moments.
#pragma once

#include "tests/train/training.hpp"

#include <functional>

namespace tether::test {

// Waits until the condition holds or the process has ended; true in the first case.
bool until(Process& process, const std::function<bool()>& condition);
// The only run there has a checkpoint beyond a step.
bool has_passed(const std::string& runs, Index step);

// So many, or as many as TETHER_KILLS says (for a long check).
int wanted_kills(int standard);

// Kills at random moments until so many have hit; a training that ends before is compared and begun
// anew. Every second kill waits for a checkpoint, so that the training gets on.
void expect_kills_do_no_harm(const Training& training, const Place& place, int kills, unsigned seed);

} // namespace tether::test
