// The ranks this test program was started with (one without mpirun), made once and ended with it.
#pragma once

#include "tether/parallel/communicator.hpp"

#include <cstring>
#include <span>
#include <vector>

namespace tether::test {

[[nodiscard]] parallel::Communicator& world();

// Numbers of very different sizes, where every order of summation gives other bits. Pure in its
// arguments, so that every rank can make everybody's.
template <class T>
[[nodiscard]] std::vector<T> wild_numbers(std::uint64_t leaf, std::size_t count);

// Same bits, NaN and -0 included.
template <class T>
[[nodiscard]] bool same_bits(std::span<const T> a, std::span<const T> b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

} // namespace tether::test
