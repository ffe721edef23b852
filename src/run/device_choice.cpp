// See device_choice.hpp.
#include "tether/run/device_choice.hpp"

#include "tether/core/error.hpp"
#include "tether/device/devices.hpp"
#include "tether/kernels/launchers.hpp"

namespace tether::run {

std::vector<std::string> device_names() { return {"cpu", "cuda", "emulation"}; }

std::unique_ptr<device::Backend> open_device(const std::string& name, const parallel::Communicator& workers) {
    if (name == "cpu") {
        return nullptr;
    }
    if (name == "emulation") {
        return device::make_emulation();
    }
    check(name == "cuda", "unknown device '{}', expected cpu, cuda or emulation", name);
    const device::Survey survey = device::survey_devices();
    check(survey.missing.empty(), ExitCode::device, "--device cuda: {}", survey.missing);
    // Where a process sees its own device only, that is device 0 of it.
    const int number = workers.local_rank() % static_cast<int>(survey.devices.size());
    return device::make_cuda(number, kernels::launchers());
}

device::ProductPrecision product_precision(Precision precision, const std::string& device) {
    if (precision == Precision::float32 || precision == Precision::float64) {
        return device::ProductPrecision::exact;
    }
    const bool tf32 = precision == Precision::tf32;
    check(device != "cpu",
          "train.precision = \"{}\" rounds the operands of matrix products on a device; this machine's cores "
          "have "
          "float32 and float64 (or use --device cuda)",
          tf32 ? "tf32" : "bf16");
    return tf32 ? device::ProductPrecision::tf32 : device::ProductPrecision::bf16;
}

} // namespace tether::run
