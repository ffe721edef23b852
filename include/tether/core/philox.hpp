// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011). A number is a pure function of (seed, purpose, step,
// sample, index), never of the rank, lane or thread that asks for it, so nothing about random
// numbers has to be stored or restored.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace tether {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

// One block of four 32-bit words.
constexpr PhiloxCounter philox(PhiloxCounter counter, PhiloxKey key) {
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t product0 = std::uint64_t{0xD2511F53U} * counter[0];
        const std::uint64_t product1 = std::uint64_t{0xCD9E8D57U} * counter[2];
        counter = {static_cast<std::uint32_t>(product1 >> 32U) ^ counter[1] ^ key[0],
                   static_cast<std::uint32_t>(product1),
                   static_cast<std::uint32_t>(product0 >> 32U) ^ counter[3] ^ key[1],
                   static_cast<std::uint32_t>(product0)};
        key[0] += 0x9E3779B9U;
        key[1] += 0xBB67AE85U;
    }
    return counter;
}

// What a random number is for. Values are part of the reproducibility promise: append only.
enum class Purpose : std::uint32_t {
    initialisation = 1,
    batch_order = 2,
    augmentation = 3,
    simulation = 4,
    measurement = 5, // group elements of equivariance errors
    split = 6,
    method = 7,
    test = 8,
    method_rows = 9 // rows of a layer that a method looks at
};

// A stream of numbers for one (seed, purpose, step, sample). Cheap to make; copy freely.
class RandomStream {
public:
    RandomStream(std::uint64_t seed, Purpose purpose, std::uint64_t step = 0, std::uint64_t sample = 0)
        : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32U)},
          // step: 40 bits, sample: 40 bits, purpose: 8 bits; the rest counts blocks through the key
          base_{0, static_cast<std::uint32_t>(sample), static_cast<std::uint32_t>(step),
                (static_cast<std::uint32_t>(purpose) << 24U) ^
                    (static_cast<std::uint32_t>((step >> 32U) & 0xFFFU) << 12U) ^
                    static_cast<std::uint32_t>((sample >> 32U) & 0xFFFU)} {}

    std::uint32_t next() {
        if (used_ == 4) {
            PhiloxCounter counter = base_;
            counter[0] = block_++;
            words_ = philox(counter, key_);
            used_ = 0;
        }
        return words_[static_cast<std::size_t>(used_++)];
    }

    // Uniform on [0, 1) with 53 random bits.
    double uniform() {
        const std::uint64_t high = next();
        const std::uint64_t low = next();
        return static_cast<double>(((high << 32U) | low) >> 11U) * 0x1.0p-53;
    }

    // Standard normal (Box-Muller; both values are used).
    double normal() {
        if (has_spare_) {
            has_spare_ = false;
            return spare_;
        }
        const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
        const double angle = 6.283185307179586476925286766559 * uniform();
        spare_ = radius * std::sin(angle);
        has_spare_ = true;
        return radius * std::cos(angle);
    }

    // Uniform integer in [0, n), without bias (rejection).
    std::uint64_t below(std::uint64_t n) {
        const std::uint64_t limit = n * (UINT64_MAX / n);
        for (;;) {
            const std::uint64_t high = next();
            const std::uint64_t value = (high << 32U) | next();
            if (value < limit) {
                return value % n;
            }
        }
    }

private:
    PhiloxKey key_;
    PhiloxCounter base_;
    PhiloxCounter words_{};
    std::uint32_t block_ = 0;
    int used_ = 4;
    double spare_ = 0;
    bool has_spare_ = false;
};

} // namespace tether
