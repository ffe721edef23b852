// Every row of the operation table on a device in float32 against the host; the tolerance is proved on the
// emulation, which adds in the device's order. Skips with the reason where there is no device.
#include "tests/ops/device_operation.hpp"
#include "tests/ops/operation_run.hpp"
#include "tests/ops/operation_table.hpp"
#include "tether/device/devices.hpp"
#include "tether/kernels/launchers.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace tether::test {
namespace {

double largest(const std::vector<float>& values) {
    double most = 0;
    for (const float v : values) {
        most = std::max(most, std::abs(static_cast<double>(v)));
    }
    return most;
}

void expect_close(const std::string& what, const std::vector<float>& device, const std::vector<float>& host,
                  double scale) {
    ASSERT_EQ(device.size(), host.size()) << what;
    const double tolerance = 1e-6 * std::max(largest(host), scale);
    for (std::size_t i = 0; i < host.size(); ++i) {
        ASSERT_NEAR(device[i], host[i], tolerance) << what << " entry " << i;
    }
}

void expect_table(device::Backend& backend) {
    for (const OperationCase& c : operation_table()) {
        for (const Index width : c.widths) {
            const RecordedOperation op(c, width);
            for (const Batch& batch : test_batches()) {
                SCOPED_TRACE(c.name + ", width " + std::to_string(width) + ", batch: " + batch.name);
                const OperationNumbers<float> numbers(op, batch);
                const OperationResult<float> host =
                    OperationRunner<float>(op, batch, 0, batch.lanes.size()).run(numbers);
                const OperationResult<float> found = run_on_device<float>(backend, op, batch, numbers, 3);
                double scale = std::max(largest(host.gradient), largest(host.extra_gradient));
                for (const auto& [name, g] : host.input_gradient) {
                    scale = std::max(scale, largest(g));
                }
                // Terms of either sign cancel: what counts is how large a sum over the batch usually is.
                std::size_t terms = host.y.size();
                for (const auto& [name, field] : numbers.field) {
                    terms = std::max(terms, field.size());
                }
                const double usual = std::max(1.0, largest(host.y)) * std::sqrt(static_cast<double>(terms));
                scale = std::max(scale, usual);
                // A product with its activation is two operations.
                const double operations = c.name.starts_with("block_linear/") ? 2 : 1;
                expect_close("y", found.y, host.y, op.rows_extent.axis == Axis::one ? usual : operations);
                expect_close("sums", found.sums, host.sums, usual);
                expect_close("gradient", found.gradient, host.gradient, scale);
                expect_close("extra gradient", found.extra_gradient, host.extra_gradient, scale);
                expect_close("state", found.next_state, host.next_state, 1);
                for (const auto& [name, g] : host.input_gradient) {
                    expect_close(name, found.input_gradient.at(name), g, scale);
                }
                if (testing::Test::HasFailure()) {
                    break;
                }
            }
        }
    }
}

TEST(Float32, of_the_emulation_is_that_of_the_host) {
    const auto emulation = device::make_emulation();
    expect_table(*emulation);
}

TEST(Float32, of_cuda_is_that_of_the_host) {
    if (const std::string missing = device::survey_devices().missing; !missing.empty()) {
        GTEST_SKIP() << missing;
    }
    const auto cuda = device::make_cuda(0, kernels::launchers());
    expect_table(*cuda);
}

} // namespace
} // namespace tether::test
