// Fixed linear maps along times and constants by time (ops/times.hpp), on a device.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"

#include <cstdint>

namespace tether::kernels {

template <class T>
struct TimeEntry {
    std::int32_t from;
    T factor;
};

// Number c of a node's or edge's row is number c % width of part c / width: the sum of entries [begin[part],
// begin[part + 1]). With `differences` parts after the first stand for what they differ from it.
template <class T>
struct MixTimesNumbers {
    const T* x;
    const std::int32_t* begin;
    const TimeEntry<T>* entries;
    bool differences;
    T* out;
    Index from, to, width;
    TETHER_HD void operator()(Index row, Index c) const {
        const Index part = c / width;
        const T* in = x + row * from * width + c % width;
        T sum = 0;
        for (std::int32_t k = begin[part]; k < begin[part + 1]; ++k) {
            const T value = in[entries[k].from * width];
            sum += entries[k].factor * (differences && entries[k].from > 0 ? value - in[0] : value);
        }
        out[row * to * width + c] = sum;
    }
};

// `given` columns of the row at hand, the same at all times, then those of the time in the table.
template <class T>
struct TimeColumnsNumbers {
    const T* x;
    const T* table;
    T* out;
    Index times, given, columns;
    TETHER_HD void operator()(Index row, Index c) const {
        out[row * columns + c] =
            c < given ? x[row / times * given + c] : table[row % times * (columns - given) + c - given];
    }
};

} // namespace tether::kernels
