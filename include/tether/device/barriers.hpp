// Barriers of a device, for its kernels.
#pragma once

#if defined(__CUDACC__)
namespace tether::device {

// Until all threads of a cluster of blocks (sm_90 and later) have come here; what they wrote before, to
// whatever memory, all of them see afterwards. Code for older devices cannot wait so: no part of it may come
// here (Backend::parts_of_teams).
__device__ inline void cluster_barrier() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    __syncwarp(); // the barrier asks for whole warps
    asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::
                     : "memory");
#elif defined(__CUDA_ARCH__)
    __trap();
#endif
}

} // namespace tether::device
#endif
