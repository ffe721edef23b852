// Copies of single numbers from device memory to the shared memory of a block that travel while their thread
// does something else (cp.async, from sm_80 on). A thread closes groups of copies and waits for all but the
// newest ones; others see what arrived after the next barrier. The host makes half of all copies at once and
// half of them as late as a device may, so that a missing wait or a place given away too early changes
// results there.
#pragma once

#include "tether/core/host_device.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace tether::device {

class AsyncCopies {
public:
    static constexpr int most_copies = 32; // in a group
    static constexpr int most_groups = 2;  // closed ones that have not arrived

    // *to = valid ? *from : 0; `from` is not read where it is not valid. Both aligned to their size.
    template <class X>
    TETHER_HD void copy(X* to, const X* from, bool valid) {
        static_assert(sizeof(X) == 4 || sizeof(X) == 8);
#if defined(__CUDA_ARCH__)
        const auto at = static_cast<unsigned>(__cvta_generic_to_shared(to));
        if constexpr (sizeof(X) == 4) {
            asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(at), "l"(from),
                         "r"(valid ? 4 : 0)
                         : "memory");
        } else {
            asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(at), "l"(from),
                         "r"(valid ? 8 : 0)
                         : "memory");
        }
#else
        const Copy copy{to, valid ? from : nullptr, sizeof(X)};
        early_ = !early_;
        if (early_) {
            make(copy);
        } else {
            groups_[open_][count_[open_]++] = copy; // a group has at most most_copies
        }
#endif
    }
    // Closes a group, which may be empty.
    TETHER_HD void commit() {
#if defined(__CUDA_ARCH__)
        asm volatile("cp.async.commit_group;" ::: "memory");
#else
        ++open_;
#endif
    }
    // Until all groups but the `newest` last ones have arrived.
    template <int newest>
    TETHER_HD void wait() {
#if defined(__CUDA_ARCH__)
        asm volatile("cp.async.wait_group %0;" ::"n"(newest) : "memory");
#else
        while (open_ > newest) { // the oldest one arrives
            for (int i = 0; i < count_[0]; ++i) {
                make(groups_[0][i]);
            }
            for (int g = 0; g < open_; ++g) {
                count_[g] = count_[g + 1];
                std::copy_n(groups_[g + 1], count_[g], groups_[g]);
            }
            count_[open_--] = 0;
        }
#endif
    }

#if !defined(__CUDA_ARCH__)
private:
    struct Copy {
        void* to;
        const void* from; // null: zero
        std::size_t bytes;
    };
    static void make(const Copy& c) {
        if (c.from == nullptr) {
            std::memset(c.to, 0, c.bytes);
        } else {
            std::memcpy(c.to, c.from, c.bytes);
        }
    }
    bool early_ = false;
    int open_ = 0; // groups that were closed and have not arrived
    int count_[most_groups + 1] = {};
    Copy groups_[most_groups + 1][most_copies];
#endif
};

} // namespace tether::device
