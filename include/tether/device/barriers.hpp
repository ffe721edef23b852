// Barriers of a device, for its kernels.
#pragma once

#if defined(__CUDACC__)
namespace tether::device {

// Until all threads of a cluster of blocks (sm_90 and later) have come here; what they wrote before, to
// whatever memory, all of them see afterwards.
__device__ inline void cluster_barrier() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::
                     : "memory");
#endif
}

} // namespace tether::device
#endif
