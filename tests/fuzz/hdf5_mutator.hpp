// Changes an HDF5 file as HDF5 would write it: another dataset, shape, type, number, link or attribute,
// with all of the format's own checksums right. Changes of single bytes rarely get past those.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tether::fuzz {

// Bytes of the changed file, which is again in `data`; 0: it is none that HDF5 opens, or does not fit.
[[nodiscard]] std::size_t mutate_hdf5(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed);

} // namespace tether::fuzz
