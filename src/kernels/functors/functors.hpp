// The functors that launch lists may hold, as lists of types: kernels for a device are compiled from them
// (src/kernels/cuda, one file per list), and every build can tell which functors have one. A functor that is
// recorded but in no list is found by the tests and, on a device, by the first run of its list.
#pragma once

#include "tether/device/launchers.hpp"

namespace tether::kernels {

template <class... F>
struct Functors {};

// Calls f.operator()<F>() for every functor of the lists.
template <class... F, class Call>
void for_each_functor(Functors<F...>, const Call& call) {
    (call.template operator()<F>(), ...);
}

} // namespace tether::kernels
