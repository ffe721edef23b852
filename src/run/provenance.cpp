// Commit and version come from tether/build_info.hpp, which the build writes; without it (a build
// outside a repository) they are "unknown" and the version below.
#include "tether/run/provenance.hpp"

#include <hdf5.h>
#include <nlohmann/json.hpp>
#include <openssl/crypto.h>
#include <toml++/toml.h>

#include <fmt/format.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <unistd.h>

#if __has_include("tether/build_info.hpp")
#include "tether/build_info.hpp"
#endif
#ifndef TETHER_VERSION
#define TETHER_VERSION "0.1.0"
#endif
#ifndef TETHER_GIT_COMMIT
#define TETHER_GIT_COMMIT "unknown"
#endif
#ifndef TETHER_GIT_DIRTY
#define TETHER_GIT_DIRTY 0
#endif

namespace tether::run {
namespace {

std::string processor_name() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("model name")) {
            const auto at = line.find(": ");
            return at == std::string::npos ? line : line.substr(at + 2);
        }
    }
    return "unknown";
}

std::string library_versions() {
    unsigned major = 0;
    unsigned minor = 0;
    unsigned release = 0;
    H5get_libversion(&major, &minor, &release);
    return fmt::format("HDF5 {}.{}.{}, {}, fmt {}.{}.{}, toml++ {}.{}.{}, nlohmann_json {}.{}.{}", major,
                       minor, release, OpenSSL_version(OPENSSL_VERSION), FMT_VERSION / 10000,
                       FMT_VERSION / 100 % 100, FMT_VERSION % 100, TOML_LIB_MAJOR, TOML_LIB_MINOR,
                       TOML_LIB_PATCH, NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR,
                       NLOHMANN_JSON_VERSION_PATCH);
}

} // namespace

std::string host_name() {
    char name[256] = {};
    return gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

std::string utc_now() {
    const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    std::tm utc{};
    gmtime_r(&now, &utc);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return text;
}

std::string machine_instruction_set() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")) {
        return "avx512";
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return "avx2";
    }
    return __builtin_cpu_supports("avx") ? "avx" : "sse2";
#elif defined(__aarch64__)
    return "neon";
#else
    return "scalar";
#endif
}

std::string compiled_instruction_set() {
#if defined(__AVX512F__) && defined(__AVX512VL__)
    return "avx512";
#elif defined(__AVX2__) && defined(__FMA__)
    return "avx2";
#elif defined(__AVX__)
    return "avx";
#elif defined(__x86_64__)
    return "sse2";
#elif defined(__aarch64__)
    return "neon";
#else
    return "scalar";
#endif
}

std::string commit_text(const Provenance& from) {
    return from.git_dirty ? from.git_commit + "-dirty" : from.git_commit;
}

Provenance provenance() {
    Provenance out;
    out.tether_version = TETHER_VERSION;
    out.git_commit = TETHER_GIT_COMMIT;
    out.git_dirty = TETHER_GIT_DIRTY != 0;
    out.compiler = __VERSION__;
    out.libraries = library_versions();
    out.host = host_name();
    out.processor = processor_name();
    const std::string machine = machine_instruction_set();
    const std::string compiled = compiled_instruction_set();
    out.instruction_set = machine == compiled ? machine : fmt::format("{} (of {})", compiled, machine);
    out.started = utc_now();
    return out;
}

} // namespace tether::run
