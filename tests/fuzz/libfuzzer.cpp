// Entry of libFuzzer for all targets: TETHER_FUZZ_TARGET in the environment names the one (scripts/fuzz).
#include "tests/fuzz/target.hpp"
#include "tether/core/hdf5.hpp"

#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/hdf5_mutator.hpp"

namespace {
const tether::fuzz::Target* target = nullptr;
} // namespace

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    const char* name = std::getenv("TETHER_FUZZ_TARGET");
    target = tether::fuzz::find_target(name == nullptr ? "" : name);
    if (target == nullptr) {
        std::fprintf(stderr, "TETHER_FUZZ_TARGET must be one of:");
        for (const tether::fuzz::Target& one : tether::fuzz::targets()) {
            std::fprintf(stderr, " %s", one.name.data());
        }
        std::fprintf(stderr, "\n");
        std::exit(2);
    }
    // HDF5 takes and clears a megabyte for every file it opens: let it keep what it has.
    H5set_free_list_limits(-1, -1, -1, -1, -1, -1);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    (void)tether::fuzz::accepted(*target, {data, size});
    return 0;
}

// HDF5 files change as HDF5 would write them, and are cut short: of damaged metadata libhdf5 itself breaks
// (1.10.8 does within seconds), which is not what is looked for here.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most,
                                               unsigned seed) {
    if (!target->hdf5) {
        return LLVMFuzzerMutate(data, size, most);
    }
    const std::size_t changed = seed % 64 == 0 ? 0 : tether::fuzz::mutate_hdf5(data, size, most, seed);
    return changed > 0 ? changed : seed / 64 % (size + 1);
}
