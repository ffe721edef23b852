// The widest vectors of the instruction set this file is compiled for, through the compiler's
// vector extension. Private to src/device.
#pragma once

#include <cstring>

namespace tether::device {

#if defined(__AVX512F__)
inline constexpr int vector_bytes = 64;
inline constexpr int block_rows = 14; // 14 x 2 accumulators, 2 right-hand vectors, 2 spare of 32
#elif defined(__AVX__)
inline constexpr int vector_bytes = 32;
inline constexpr int block_rows = 6; // 6 x 2 accumulators of 16
#else
inline constexpr int vector_bytes = 16;
inline constexpr int block_rows = 6;
#endif

template <class T>
struct VectorOf;
template <>
struct VectorOf<float> {
    typedef float type __attribute__((vector_size(vector_bytes)));
};
template <>
struct VectorOf<double> {
    typedef double type __attribute__((vector_size(vector_bytes)));
};
template <class T>
using Vector = typename VectorOf<T>::type;
template <class T>
inline constexpr int width = vector_bytes / static_cast<int>(sizeof(T));

template <class T>
inline Vector<T> load(const T* p) {
    Vector<T> v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
template <class T>
inline void store(T* p, Vector<T> v) {
    std::memcpy(p, &v, sizeof v);
}

} // namespace tether::device
