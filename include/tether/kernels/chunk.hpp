// A short run of contiguous numbers handled as one: a vector register (or several) on the host, an
// unrolled loop elsewhere. Multiply-adds are fused where the folder is compiled so.
#pragma once

#include "tether/core/host_device.hpp"

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

} // namespace tether::kernels
