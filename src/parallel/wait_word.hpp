// Waiting for another thread or process without burning a core that somebody else needs: spin for
// a moment, give way, then sleep in the kernel (futex; it works across processes when the word lies
// in shared memory). Linux only, like the rest of this folder's process handling.
#pragma once

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <cstdint>

namespace tether::parallel {

inline void relax() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// A counter that changes when what is waited for has happened.
struct WaitWord {
    alignas(64) std::atomic<std::uint32_t> value{0};
    std::atomic<std::uint32_t> sleepers{0};

    // Wakes everybody who waits for a change of the value.
    void advance() noexcept {
        value.fetch_add(1); // sequentially consistent, against the order of sleepers and value below
        if (sleepers.load() != 0) {
            ::syscall(SYS_futex, &value, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
        }
    }

    // Returns when the value is no longer `old`.
    void wait_change(std::uint32_t old, std::chrono::microseconds spin) noexcept {
        if (spin.count() > 0) {
            const auto until = std::chrono::steady_clock::now() + spin;
            do {
                for (int i = 0; i < 32; ++i) {
                    if (value.load(std::memory_order_acquire) != old) {
                        return;
                    }
                    relax();
                }
            } while (std::chrono::steady_clock::now() < until);
        }
        for (int i = 0; i < 8; ++i) {
            if (value.load(std::memory_order_acquire) != old) {
                return;
            }
            ::sched_yield();
        }
        sleepers.fetch_add(1);
        while (value.load() == old) {
            // The kernel compares once more; the limit only guards against a waker that died.
            timespec limit{0, 100'000'000};
            ::syscall(SYS_futex, &value, FUTEX_WAIT, old, &limit, nullptr, 0);
        }
        sleepers.fetch_sub(1);
    }
};

// For conditions that can only be polled: short spins, then giving way, then sleeping longer and
// longer, up to a fraction of the time already waited and at most 200 microseconds.
class Backoff {
public:
    explicit Backoff(bool spin) : round_(spin ? 0 : 512) {}
    void pause() noexcept {
        if (round_ < 512) {
            relax();
        } else if (round_ < 600) {
            ::sched_yield();
        } else {
            timespec time{0, std::min<long>(200'000, 1'000L * (round_ - 599))};
            ::nanosleep(&time, nullptr);
        }
        round_ = std::min(round_ + 1, 1000);
    }

private:
    int round_;
};

} // namespace tether::parallel
