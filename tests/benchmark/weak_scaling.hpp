// A model of weak scaling: every device does a step of its own batch, gradients meet in an all-reduce whose
// buckets start as the backward pass makes them. What does not hide behind it is exposed:
//     efficiency = step / (step + exposed).
// Figures of links are published ones:
//   NVLink 4 of H100/H200: 900 GB/s in both directions together, 450 GB/s each way (NVIDIA H100 datasheet).
//   InfiniBand NDR: 400 Gb/s = 50 GB/s per port, 8 ports per DGX H100, one per device (DGX H100 user guide).
//   Latencies of NCCL's own model of the tree with LL128: 4.4 us to start, 1.2 us per step over NVLink,
//   8.5 us over the network; bandwidth in trees 0.9 of the links', LL128 120/128 of that, 7/9 within a node
//   (NVIDIA/nccl, src/graph/tuning.cc).
// Medium messages reach 3/4 of that: 3.75 MB on 8 devices then take 53 us, measured by others 42 to 62.
#pragma once

#include <algorithm>
#include <cmath>

namespace tether::benchmark {

struct Links {
    double nvlink_gbs = 450, port_gbs = 50;
    double start_us = 4.4, nvlink_us = 1.2, network_us = 8.5;
    double reached = 0.75;
};

// One all-reduce of so many bytes over `nodes` of `local` devices each, in microseconds.
inline double all_reduce_us(double bytes, int local, int nodes, const Links& links = {}) {
    if (local * nodes == 1) {
        return 0;
    }
    double latency = links.start_us + 2 * (local - 1) * links.nvlink_us;
    double bus = links.nvlink_gbs * 0.9 * 7 / 9;
    if (nodes > 1) {
        latency += 2 * std::log2(nodes) * links.network_us;
        bus = std::min(links.nvlink_gbs, links.port_gbs * local) * 0.9 * 120 / 128;
    }
    return latency + bytes / (0.5 * bus * links.reached * 1e3); // bytes up and down a tree
}

struct Step {
    double forward_us = 0, backward_us = 0, update_us = 0;
    double gradient_bytes = 0;
    [[nodiscard]] double us() const { return forward_us + backward_us + update_us; }
};

struct Scaling {
    double communication_us = 0, exposed_us = 0, efficiency = 1;
    int buckets = 1;
};

// Gradients are complete in equal parts over the backward pass; a bucket starts when it is, and when the one
// before has ended.
inline Scaling scale(const Step& step, int local, int nodes, double bucket_bytes, const Links& links = {}) {
    Scaling s;
    s.buckets = std::max(1, static_cast<int>(std::ceil(step.gradient_bytes / bucket_bytes)));
    const double part = step.gradient_bytes / s.buckets;
    double end = 0;
    for (int b = 1; b <= s.buckets; ++b) {
        const double ready = step.backward_us * b / s.buckets;
        const double takes = all_reduce_us(part, local, nodes, links);
        s.communication_us += takes;
        end = std::max(end, ready) + takes;
    }
    s.exposed_us = local * nodes == 1 ? 0 : std::max(0.0, end - step.backward_us);
    s.efficiency = step.us() / (step.us() + s.exposed_us);
    return s;
}

// The bucket size, a fraction 1/k of the gradient, that exposes least.
inline Scaling best(const Step& step, int local, int nodes, const Links& links = {}) {
    Scaling found = scale(step, local, nodes, step.gradient_bytes, links);
    for (int k = 2; k <= 16; ++k) {
        const Scaling s = scale(step, local, nodes, step.gradient_bytes / k, links);
        if (s.exposed_us < found.exposed_us) {
            found = s;
        }
    }
    return found;
}

} // namespace tether::benchmark
