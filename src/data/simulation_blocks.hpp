// What all simulators share: blocks of 8 simulations side by side, handed to threads by a counter; a
// block writes only its own rows, so that no result depends on threads or on what else is simulated.
#pragma once

#include "tether/data/particles.hpp"
#include "tether/data/simulate.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

namespace tether::data::blocks {

inline constexpr int width = 8;
using Block = ParticleBlock<width>;

inline std::size_t at(Index i) { return static_cast<std::size_t>(i); }

// `work(block number)` for all blocks on `threads` threads; progress from the calling thread.
template <class Work>
void for_blocks(const SimulationPlan& plan, const Work& work) {
    const Index blocks = (plan.simulations + width - 1) / width;
    const auto cores = static_cast<Index>(std::max(1U, std::thread::hardware_concurrency()));
    const Index threads =
        std::clamp<Index>(plan.threads > 0 ? plan.threads : cores, 1, std::max<Index>(blocks, 1));
    std::atomic<Index> next{0};
    std::mutex mutex;
    std::condition_variable changed;
    Index done = 0; // blocks, under mutex
    Index running = threads;
    std::exception_ptr failure;
    const auto run = [&] {
        try {
            for (Index b = next++; b < blocks; b = next++) {
                work(b);
                const std::scoped_lock lock(mutex);
                ++done;
            }
        } catch (...) {
            const std::scoped_lock lock(mutex);
            failure = std::current_exception();
            next = blocks;
        }
        const std::scoped_lock lock(mutex);
        --running;
        changed.notify_one();
    };
    std::vector<std::jthread> pool;
    for (Index t = 0; t < threads; ++t) {
        pool.emplace_back(run);
    }
    std::unique_lock lock(mutex);
    while (!changed.wait_for(lock, std::chrono::milliseconds(200), [&] { return running == 0; })) {
        const Index ready = std::min(done * width, plan.simulations);
        lock.unlock(); // a slow terminal must not hold up the simulations
        if (plan.progress) {
            plan.progress(ready, plan.simulations);
        }
        lock.lock();
    }
    lock.unlock();
    pool.clear();
    if (failure) {
        std::rethrow_exception(failure);
    }
    if (plan.progress) {
        plan.progress(plan.simulations, plan.simulations);
    }
}

inline double& component(Vector3<width>& v, Index axis, int lane) {
    return (axis == 0 ? v.x : axis == 1 ? v.y : v.z).lane[lane];
}

// Lanes beyond the last simulation repeat it and are not stored. draw(simulation, q, x, v).
template <class Draw>
void start(Block& block, Index first, Index simulations, const Draw& draw) {
    const std::size_t bodies = block.bodies();
    std::vector<double> q(bodies, 1.0), x(3 * bodies), v(3 * bodies);
    for (int k = 0; k < width; ++k) {
        draw(std::min(first + k, simulations - 1), q, x, v);
        for (std::size_t i = 0; i < bodies; ++i) {
            block.charge[i].lane[k] = q[i];
            for (Index a = 0; a < 3; ++a) {
                component(block.position[i], a, k) = x[3 * i + at(a)];
                component(block.velocity[i], a, k) = v[3 * i + at(a)];
            }
        }
    }
}

inline void store(Block& block, Index first, std::size_t frame, Trajectories& out) {
    const std::size_t bodies = block.bodies();
    for (int k = 0; k < width && first + k < out.simulations; ++k) {
        const std::size_t row = (at(first + k) * out.frames.size() + frame) * bodies * 3;
        for (std::size_t i = 0; i < bodies; ++i) {
            for (Index a = 0; a < 3; ++a) {
                out.position[row + 3 * i + at(a)] = component(block.position[i], a, k);
                out.velocity[row + 3 * i + at(a)] = component(block.velocity[i], a, k);
            }
        }
    }
}

} // namespace tether::data::blocks
