// A backend of CUDA on played calls, and functors small enough to know what they should have made.
#pragma once

#include "fake_cuda.hpp"

#include "tether/core/error.hpp"
#include "tether/device/backend.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace tether::test {

using device::Backend;
using device::LaunchList;

// x[i] = 2 x[i] + y[i]
struct Double {
    double* x;
    const double* y;
    void operator()(Index i) const { x[i] = 2 * x[i] + y[i]; }
};
// y = sum of the block's x, in two phases.
struct SumBlock {
    static constexpr int threads = 32;
    struct Shared {
        double part[threads];
    };
    struct Local {};
    const double* x;
    double* y;
    [[nodiscard]] Index phases(Index) const { return 2; }
    void phase(Index p, Index block, int thread, Shared& shared, Local&) const {
        if (p == 0) {
            shared.part[thread] = x[block * threads + thread];
        } else if (thread == 0) {
            y[block] = 0;
            for (const double part : shared.part) {
                y[block] += part;
            }
        }
    }
};
// y[i] of the block = the sum of all x that its parts put down before they met.
struct SumOfParts {
    static constexpr int threads = 4;
    struct Shared {};
    struct Local {};
    std::int32_t parts;
    double* x; // [blocks x parts]
    double* y;
    [[nodiscard]] Index phases(Index, int) const { return 2; }
    void phase(Index p, Index block, int part, int thread, Shared&, Local&) const {
        if (thread > 0) {
            return;
        }
        if (p == 0) {
            x[block * parts + part] = part + 1;
        } else {
            y[block * parts + part] = 0;
            for (int q = 0; q < parts; ++q) {
                y[block * parts + part] += x[block * parts + q];
            }
        }
    }
    [[nodiscard]] bool meets(Index p, const Shared&) const { return p == 0; }
};
struct Unknown {
    void operator()(Index) const {}
};

inline device::Launchers launchers() {
    static const int kernel = 0;
    return {{typeid(Double), {&kernel, &kernel}},
            {typeid(SumBlock), {&kernel, &kernel}},
            {typeid(SumOfParts), {&kernel, &kernel}}};
}

struct Device {
    explicit Device(unsigned seed = 1) {
        machine->seed = seed;
        auto made = std::make_unique<FakeCuda>(machine);
        cuda = made.get();
        backend = device::make_cuda(std::move(made), 0, launchers());
    }
    std::shared_ptr<FakeMachine> machine = std::make_shared<FakeMachine>();
    FakeCuda* cuda = nullptr;
    std::unique_ptr<Backend> backend;
};

inline std::string message_of(const std::function<void()>& work, ExitCode code = ExitCode::device) {
    try {
        work();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), code);
        return error.what();
    }
    ADD_FAILURE() << "no error";
    return {};
}

} // namespace tether::test
