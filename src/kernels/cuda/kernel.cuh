// The two kernels there are, one per shape of work (device/launch.hpp): items dealt to threads, and teams
// that go through their phases with a barrier between. The functor is the argument; what a launch is too
// small for is taken in strides.
#pragma once

#include "../functors/functors.hpp"
#include "add_kernels.hpp"

#include "tether/core/types.hpp"
#include "tether/device/barriers.hpp"
#include "tether/device/launch.hpp"

#include <type_traits>

namespace tether::kernels {

template <class F>
__device__ void do_each(const F& f, const Index items) {
    const Index stride = Index{gridDim.x} * blockDim.x;
    for (Index i = Index{blockIdx.x} * blockDim.x + threadIdx.x; i < items; i += stride) {
        f(i);
    }
}

template <class F>
__device__ typename F::Shared& shared_of_block() {
    using Shared = typename F::Shared;
    static_assert(sizeof(Shared) <= 48 * 1024 && std::is_trivially_copyable_v<Shared>);
    __shared__ alignas(128) unsigned char place[sizeof(Shared)]; // tensor cores ask for 32
    return *reinterpret_cast<Shared*>(place);
}

template <class F>
__device__ void do_team(const F& f, const Index blocks) {
    typename F::Shared& shared = shared_of_block<F>();
    if constexpr (device::detail::HasParts<F>) { // neighbouring blocks, a cluster
        const auto parts = static_cast<unsigned>(f.parts);
        const auto part = static_cast<int>(blockIdx.x % parts);
        for (Index block = blockIdx.x / parts; block < blocks; block += gridDim.x / parts) {
            typename F::Local local{};
            const Index phases = f.phases(block, part);
            for (Index p = 0; p < phases; ++p) {
                f.phase(p, block, part, static_cast<int>(threadIdx.x), shared, local);
                if (f.meets(p, shared)) {
                    device::cluster_barrier();
                } else {
                    __syncthreads();
                }
            }
        }
    } else {
        for (Index block = blockIdx.x; block < blocks; block += gridDim.x) {
            typename F::Local local{};
            const Index phases = f.phases(block);
            for (Index p = 0; p < phases; ++p) {
                f.phase(p, block, static_cast<int>(threadIdx.x), shared, local);
                __syncthreads();
            }
        }
    }
}

template <class F>
__global__ void each_of_one(const __grid_constant__ F f, const Index items) {
    do_each(f, items);
}
template <class F>
__global__ void each_of_many(const F* f, const Index* items) {
    do_each(f[blockIdx.y], items[blockIdx.y]);
}
template <class F>
__global__ void __launch_bounds__(F::threads) team_of_one(const __grid_constant__ F f, const Index blocks) {
    do_team(f, blocks);
}
template <class F>
__global__ void __launch_bounds__(F::threads) team_of_many(const F* f, const Index* blocks) {
    do_team(f[blockIdx.y], blocks[blockIdx.y]);
}

template <class Function>
const void* address(Function* function) {
    return reinterpret_cast<const void*>(function);
}

template <class F, class = void>
struct KernelsOf {
    static device::Kernels get() { return {address(&each_of_one<F>), address(&each_of_many<F>)}; }
};
template <class F>
struct KernelsOf<F, std::void_t<typename F::Shared>> {
    static device::Kernels get() { return {address(&team_of_one<F>), address(&team_of_many<F>)}; }
};

template <class... F>
void add_kernels(Functors<F...>, device::Launchers& to) {
    ((to[typeid(F)] = KernelsOf<F>::get()), ...);
}

} // namespace tether::kernels
