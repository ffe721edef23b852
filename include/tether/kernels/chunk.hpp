// A short run of contiguous numbers handled as one: a vector register (or several) on the host, an
// unrolled loop elsewhere. Multiply-adds are fused where the folder is compiled so.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/core/types.hpp"

#include <cstring>

namespace tether::kernels {

#if defined(__GNUC__) && !defined(__CUDA_ARCH__) && !defined(__CUDACC__)
#define TETHER_CHUNK_VECTORS

template <class T>
struct ChunkOf;
template <>
struct ChunkOf<float> {
    typedef float type __attribute__((vector_size(64)));
};
template <>
struct ChunkOf<double> {
    typedef double type __attribute__((vector_size(64)));
};
template <class T>
using Chunk = typename ChunkOf<T>::type;
template <class T>
inline constexpr int chunk_width = 64 / static_cast<int>(sizeof(T));

template <class T>
[[gnu::always_inline]] inline Chunk<T> load_chunk(const T* from) {
    Chunk<T> c;
    std::memcpy(&c, from, sizeof c);
    return c;
}
template <class T>
[[gnu::always_inline]] inline void store_chunk(T* to, Chunk<T> c) {
    std::memcpy(to, &c, sizeof c);
}

#else

template <class T>
inline constexpr int chunk_width = 4;

template <class T>
struct Chunk {
    T v[chunk_width<T>];
    TETHER_HD Chunk& operator+=(const Chunk& o) {
        for (int k = 0; k < chunk_width<T>; ++k) {
            v[k] += o.v[k];
        }
        return *this;
    }
};
template <class T>
TETHER_HD Chunk<T> operator*(T a, const Chunk<T>& b) {
    Chunk<T> c;
    for (int k = 0; k < chunk_width<T>; ++k) {
        c.v[k] = a * b.v[k];
    }
    return c;
}
template <class T>
TETHER_HD Chunk<T> load_chunk(const T* from) {
    Chunk<T> c;
    for (int k = 0; k < chunk_width<T>; ++k) {
        c.v[k] = from[k];
    }
    return c;
}
template <class T>
TETHER_HD void store_chunk(T* to, const Chunk<T>& c) {
    for (int k = 0; k < chunk_width<T>; ++k) {
        to[k] = c.v[k];
    }
}

#endif

// Numbers u .. u + width at once; F is T or a chunk of T, load and store move F.
template <class F, class T>
TETHER_HD inline F load_as(const T* from) {
    if constexpr (sizeof(F) == sizeof(T)) {
        return *from;
    } else {
        return load_chunk(from);
    }
}
template <class F, class T>
TETHER_HD inline void store_as(T* to, const F& value) {
    if constexpr (sizeof(F) == sizeof(T)) {
        *to = value;
    } else {
        store_chunk(to, value);
    }
}

// Calls f(u, zero of F) over 0 <= u < n, in chunks where the host has them.
template <class T, class Function>
TETHER_HD inline void in_chunks(Index n, Function&& f) {
    Index u = 0;
#if defined(TETHER_CHUNK_VECTORS)
    for (; u + chunk_width<T> <= n; u += chunk_width<T>) {
        f(u, Chunk<T>{});
    }
#endif
    for (; u < n; ++u) {
        f(u, T{});
    }
}

// Sum of f(u, zero of F) over 0 <= u < n in an order that depends on n alone.
template <class T, class Function>
TETHER_HD inline T sum_in_chunks(Index n, Function&& f) {
    T total = 0;
    Index u = 0;
#if defined(TETHER_CHUNK_VECTORS)
    if (n >= chunk_width<T>) {
        Chunk<T> sum{};
        for (; u + chunk_width<T> <= n; u += chunk_width<T>) {
            sum += f(u, Chunk<T>{});
        }
        for (int stride = chunk_width<T> / 2; stride > 0; stride /= 2) {
            for (int k = 0; k < stride; ++k) {
                sum[k] += sum[k + stride];
            }
        }
        total = sum[0];
    }
#endif
    for (; u < n; ++u) {
        total += f(u, T{});
    }
    return total;
}

template <class T>
TETHER_HD inline T dot(const T* a, const T* b, Index n) {
    return sum_in_chunks<T>(n, [&](Index u, auto zero) {
        using F = decltype(zero);
        return load_as<F>(a + u) * load_as<F>(b + u);
    });
}

// y[u] += factor · x[u]
template <class T>
TETHER_HD inline void add_scaled(Index n, T factor, const T* x, T* y) {
    in_chunks<T>(n, [&](Index u, auto zero) {
        using F = decltype(zero);
        store_as<F>(y + u, load_as<F>(y + u) + factor * load_as<F>(x + u));
    });
}

} // namespace tether::kernels
