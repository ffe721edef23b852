// A build with CUDA has kernels for exactly the listed functors.
#include "tether/kernels/launchers.hpp"

#include <gtest/gtest.h>

namespace tether::test {
namespace {

TEST(Launchers, of_this_build_are_the_listed_ones_or_none) {
    const std::set<std::type_index> listed = kernels::listed_functors();
    const device::Launchers& launchers = kernels::launchers();
    if (launchers.empty()) {
        GTEST_SKIP() << "this build has no CUDA";
    }
    EXPECT_EQ(launchers.size(), listed.size());
    std::set<const void*> kernels;
    for (const std::type_index& functor : listed) {
        ASSERT_TRUE(launchers.contains(functor)) << functor.name();
        kernels.insert(launchers.at(functor).one);
        kernels.insert(launchers.at(functor).many);
    }
    EXPECT_EQ(kernels.size(), 2 * listed.size()) << "each has kernels of its own";
}

} // namespace
} // namespace tether::test
