// A trajectory file, two frames of it.
#include "tether/data/trajectories.hpp"
#include "tests/fuzz/target.hpp"
#include "tether/core/error.hpp"

#include <cmath>

namespace tether::fuzz {

void read_trajectories(Bytes input);

void read_trajectories(Bytes input) {
    const InputFile file(input);
    const data::Trajectories some = data::read_trajectories(file.path(), {.frames = {0, 1}, .count = {1}});
    promised(some.position.size() == static_cast<std::size_t>(some.simulations * 2 * some.bodies * 3),
             "as many numbers as simulations, frames and bodies");
    promised(some.velocity.size() == some.position.size(), "a velocity for every position");
    for (const double x : some.position) {
        promised(std::isfinite(x), "finite positions");
    }
}

} // namespace tether::fuzz
