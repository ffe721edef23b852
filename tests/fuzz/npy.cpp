// A NumPy array; what is accepted has as many values as its shape says.
#include "tether/data/npy.hpp"
#include "tests/fuzz/target.hpp"

namespace tether::fuzz {

void read_npy(Bytes input);

void read_npy(Bytes input) {
    const InputFile file(input);
    const data::NpyArray array = data::read_npy(file.path());
    std::size_t count = 1;
    for (const Index n : array.shape) {
        count *= static_cast<std::size_t>(n);
    }
    promised(count == array.values.size(), "as many values as the shape says");
}

} // namespace tether::fuzz
