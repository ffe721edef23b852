// See devices.hpp. What is missing is found from the outside in: build, driver, device.
#include "tether/device/devices.hpp"

#include "tether/core/error.hpp"
#include "tether/device/cuda_calls.hpp"

namespace tether::device {
namespace {

std::string version(int number) { return fmt::format("{}.{}", number / 1000, number % 1000 / 10); }

} // namespace

Survey survey_devices(CudaCalls& calls) {
    Survey survey;
    survey.built = true;
    calls.runtime_version(survey.runtime);
    if (calls.driver_version(survey.driver) != 0 || survey.driver == 0) {
        survey.missing = "there is no NVIDIA driver on this machine; use --device cpu, or install one";
        return survey;
    }
    // Minor versions of CUDA are compatible with each other.
    if (survey.driver / 1000 < survey.runtime / 1000) {
        survey.missing =
            fmt::format("the NVIDIA driver runs CUDA {} and older, this build is for CUDA {}: update "
                        "the driver or build with an older toolkit",
                        version(survey.driver), version(survey.runtime));
        return survey;
    }
    int count = 0;
    const int counted = calls.device_count(count);
    if (counted != 0 || count == 0) {
        survey.missing =
            fmt::format("the NVIDIA driver is there, but this process sees no device{}; is it in "
                        "CUDA_VISIBLE_DEVICES and granted by the scheduler (--gpus-per-node)?",
                        counted != 0 ? " (" + calls.text(counted) + ")" : "");
        return survey;
    }
    for (int number = 0; number < count; ++number) {
        DeviceFacts facts;
        facts.number = number;
        if (const int result = calls.facts(number, facts); result != 0) {
            survey.missing = fmt::format("device {} does not answer: {}", number, calls.text(result));
            return survey;
        }
        survey.devices.push_back(std::move(facts));
    }
    for (int a = 0; a < count; ++a) {
        for (int b = a + 1; b < count; ++b) {
            bool there = false, back = false;
            if (calls.peer_access(a, b, there) != 0 || calls.peer_access(b, a, back) != 0 || !there ||
                !back) {
                survey.no_peer_access.emplace_back(a, b);
            }
        }
    }
    return survey;
}

Survey survey_devices() {
    const auto calls = make_cuda_calls();
    if (calls == nullptr) {
        Survey survey;
        survey.missing = "this build has no CUDA; use --device cpu, or build with the preset cuda";
        return survey;
    }
    return survey_devices(*calls);
}

} // namespace tether::device
