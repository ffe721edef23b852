// A skeleton; what is accepted is a tree that hangs on bone 0.
#include "tests/fuzz/target.hpp"
#include "tether/data/skeleton.hpp"

namespace tether::fuzz {

void read_asf(Bytes input);

void read_asf(Bytes input) {
    const InputFile file(input);
    const data::Skeleton skeleton = data::read_asf(file.path());
    promised(skeleton.outwards.size() == skeleton.bones.size(), "every bone is reached");
    std::vector<bool> reached(skeleton.bones.size(), false);
    for (const std::int32_t b : skeleton.outwards) {
        const std::int32_t parent = skeleton.bones.at(static_cast<std::size_t>(b)).parent;
        promised(parent < 0 ? b == 0 : reached.at(static_cast<std::size_t>(parent)), "parents come first");
        reached[static_cast<std::size_t>(b)] = true;
    }
}

} // namespace tether::fuzz
