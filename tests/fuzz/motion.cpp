// A motion file, and the samples cut from it.
#include "tether/data/motion.hpp"
#include "tests/fuzz/target.hpp"
#include "tether/data/mocap.hpp"

namespace tether::fuzz {

void read_motion(Bytes input);

void read_motion(Bytes input) {
    const InputFile file(input);
    const data::Motion motion = data::read_motion(file.path());
    promised(motion.first_frame(std::ssize(motion.trial_length)) * motion.joints() * 3 ==
                 std::ssize(motion.position),
             "as many positions as frames and joints");
    // A few bytes may stand for a million samples (a fill value); making them all shows nothing more.
    constexpr std::size_t most_samples = 10'000;
    std::size_t samples = 0;
    for (const data::MotionSplit& split : motion.split) {
        for (const std::vector<Index>& starts : split.start_frame) {
            samples += starts.size();
        }
    }
    if (samples <= most_samples) {
        (void)data::open_mocap(file.path(), {.horizon = 3, .times = 1});
    }
}

} // namespace tether::fuzz
