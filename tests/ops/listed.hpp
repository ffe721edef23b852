// Which functors of a recorded list have no kernel on a device because they are in no list of
// src/kernels/functors; by name.
#pragma once

#include "tether/device/launch.hpp"
#include "tether/kernels/launchers.hpp"

#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <set>
#include <string>

namespace tether::test {

inline std::set<std::string> unlisted(const device::LaunchList& list) {
    static const std::set<std::type_index> listed = kernels::listed_functors();
    std::set<std::string> missing;
    for (const device::Launch& launch : list.launches()) {
        if (launch.shape != device::Launch::Shape::exchange && !listed.contains(launch.functor)) {
            int status = 0;
            const std::unique_ptr<char, void (*)(void*)> name(
                abi::__cxa_demangle(launch.functor.name(), nullptr, nullptr, &status), std::free);
            missing.insert(launch.name + ": " + (status == 0 ? name.get() : launch.functor.name()));
        }
    }
    return missing;
}

} // namespace tether::test
