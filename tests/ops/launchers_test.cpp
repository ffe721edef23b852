// Every functor that an operation of the table records for a device is in a list that kernels are compiled
// from, for both precisions.
#include "tests/ops/listed.hpp"
#include "tests/ops/operation_run.hpp"
#include "tests/ops/operation_table.hpp"
#include "tether/program/device_executor.hpp"

#include <gtest/gtest.h>

namespace tether::test {
namespace {

template <class T>
void expect_listed(const Program& program, const std::string& name) {
    const auto backend = device::make_emulation();
    device::Buffer<T> memory(*backend); // recorded, not run
    memory.require(64);
    T* p = memory.data();
    DeviceExecutor<T> executor(program, *backend, {p, p, p, p, p, p, p});
    executor.reserve(4, {1, 5, 7, 19});
    EXPECT_EQ(unlisted(executor.list()), std::set<std::string>{}) << name;
}

TEST(Launchers, know_every_functor_of_the_operations) {
    for (const OperationCase& c : operation_table()) {
        for (const Index width : c.widths) {
            const RecordedOperation op(c, width);
            expect_listed<float>(op.program, c.name);
            expect_listed<double>(op.program, c.name);
        }
    }
}

} // namespace
} // namespace tether::test
