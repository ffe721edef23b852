// Marks functions that run on the host and on a device, and loops that a device's compiler is to unroll, or
// not. Empty for a plain C++ compiler, so that the mathematics of a kernel is written once and no caller
// holds an #ifdef.
#pragma once

#if defined(__CUDACC__)
#define TETHER_HD __host__ __device__
#else
#define TETHER_HD
#endif
#if defined(__CUDA_ARCH__)
#define TETHER_UNROLL _Pragma("unroll")
#define TETHER_ROLL _Pragma("unroll 1")
#else
#define TETHER_UNROLL
#define TETHER_ROLL
#endif
