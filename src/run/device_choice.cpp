// See device_choice.hpp.
#include "tether/run/device_choice.hpp"

#include "tether/core/error.hpp"

namespace tether::run {

std::vector<std::string> device_names() { return {"cpu", "cuda", "emulation"}; }

std::unique_ptr<device::Backend> open_device(const std::string& name,
                                             const parallel::Communicator& /*workers*/) {
    if (name == "cpu") {
        return nullptr;
    }
    if (name == "emulation") {
        return device::make_emulation();
    }
    check(name == "cuda", "unknown device '{}', expected cpu, cuda or emulation", name);
    fail(ExitCode::device, "--device cuda: this build has no CUDA executor; use --device cpu");
}

} // namespace tether::run
