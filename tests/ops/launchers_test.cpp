// Every functor that an operation of the table records for a device is in a list that kernels are compiled
// from, for both precisions.
#include "tests/ops/operation_run.hpp"
#include "tests/ops/operation_table.hpp"
#include "tether/kernels/launchers.hpp"
#include "tether/program/device_executor.hpp"

#include <gtest/gtest.h>

#include <cxxabi.h>

#include <cstdlib>

namespace tether::test {
namespace {

std::string readable(const std::type_index& type) {
    int status = 0;
    const std::unique_ptr<char, void (*)(void*)> name(
        abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), std::free);
    return status == 0 ? name.get() : type.name();
}

template <class T>
void expect_listed(const Program& program, const std::set<std::type_index>& listed, const std::string& name) {
    const auto backend = device::make_emulation();
    const auto room = [&](Index n) {
        device::Buffer<T> buffer(*backend);
        buffer.require(std::max<Index>(1, n));
        return buffer;
    };
    const auto parameters = room(program.extra_gradient + 65536), control = room(64);
    T* p = parameters.data();
    DeviceExecutor<T> executor(program, *backend, {p, p, p, p, p, p, control.data()});
    executor.reserve(4, {1, 5, 7, 19});
    for (const device::Launch& launch : executor.list().launches()) {
        if (launch.shape != device::Launch::Shape::exchange) {
            EXPECT_TRUE(listed.contains(launch.functor))
                << name << ": " << readable(launch.functor) << " is in no list of src/kernels/functors";
        }
    }
}

TEST(Launchers, know_every_functor_of_the_operations) {
    const std::set<std::type_index> listed = kernels::listed_functors();
    for (const OperationCase& c : operation_table()) {
        for (const Index width : c.widths) {
            const RecordedOperation op(c, width);
            expect_listed<float>(op.program, listed, c.name);
            expect_listed<double>(op.program, listed, c.name);
        }
    }
}

} // namespace
} // namespace tether::test
