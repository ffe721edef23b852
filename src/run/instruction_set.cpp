// Compares what the compiler was told (its predefined macros) with what the processor says (CPUID).
// This file is kept free of strings, containers and floating point, and its functions are compiled
// without vector extensions, so that it runs on a machine that lacks them.
#include "tether/run/provenance.hpp"

#include <cstddef>
#include <unistd.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define TETHER_PLAIN __attribute__((target("no-avx"), optimize("no-tree-vectorize")))
#else
#define TETHER_PLAIN
#endif

namespace tether::run {
namespace {

TETHER_PLAIN void say(const char* text) noexcept {
    std::size_t length = 0;
    while (text[length] != '\0') {
        ++length;
    }
    [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, text, length);
}

} // namespace

TETHER_PLAIN const char* missing_instruction_set() noexcept {
#if defined(__x86_64__)
    __builtin_cpu_init();
#define TETHER_NEEDS(name)                                                                                   \
    if (!__builtin_cpu_supports(name)) {                                                                     \
        return name;                                                                                         \
    }
#ifdef __SSE4_2__
    TETHER_NEEDS("sse4.2")
#endif
#ifdef __POPCNT__
    TETHER_NEEDS("popcnt")
#endif
#ifdef __AVX__
    TETHER_NEEDS("avx")
#endif
#ifdef __BMI__
    TETHER_NEEDS("bmi")
#endif
#ifdef __BMI2__
    TETHER_NEEDS("bmi2")
#endif
#ifdef __FMA__
    TETHER_NEEDS("fma")
#endif
#ifdef __AVX2__
    TETHER_NEEDS("avx2")
#endif
#ifdef __AVX512F__
    TETHER_NEEDS("avx512f")
#endif
#ifdef __AVX512BW__
    TETHER_NEEDS("avx512bw")
#endif
#ifdef __AVX512CD__
    TETHER_NEEDS("avx512cd")
#endif
#ifdef __AVX512DQ__
    TETHER_NEEDS("avx512dq")
#endif
#ifdef __AVX512VL__
    TETHER_NEEDS("avx512vl")
#endif
#ifdef __AVX512VNNI__
    TETHER_NEEDS("avx512vnni")
#endif
#ifdef __AVX512BF16__
    TETHER_NEEDS("avx512bf16")
#endif
#undef TETHER_NEEDS
#endif
    return nullptr;
}

TETHER_PLAIN void require_instruction_set() noexcept {
    const char* missing = missing_instruction_set();
    if (missing == nullptr) {
        return;
    }
    say("error: this program was built for processors with ");
    say(missing);
    say(", which this machine lacks; build it here, or with -DTETHER_ARCH=x86-64-v2\n");
    _exit(15);
}

#if defined(__GNUC__)
namespace {
// Before the constructors of global objects, which are compiled for the same instruction set.
__attribute__((constructor(101))) TETHER_PLAIN void check_at_start() noexcept { require_instruction_set(); }
} // namespace
#endif

} // namespace tether::run
