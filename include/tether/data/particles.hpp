// Particle dynamics for W simulations side by side: every number is W doubles wide, so that plain
// loops over W become vector instructions. Each lane's arithmetic is the same whatever W is; no
// result depends on how simulations are grouped. Published simulators: charged particles of NRI /
// EGNN (kick-drift, force clipped per component), gravity of SEGNN (kick-drift-kick, softened).
#pragma once

#include "tether/core/types.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tether::data {

template <int W>
struct alignas(sizeof(double) * W) Pack {
    double lane[W];
};

template <int W>
struct Vector3 {
    Pack<W> x, y, z;
};

template <int W>
struct ParticleBlock {
    explicit ParticleBlock(Index bodies)
        : position(static_cast<std::size_t>(bodies)), velocity(position.size()), force(position.size()),
          charge(position.size()) {}
    std::vector<Vector3<W>> position, velocity, force; // [bodies]
    std::vector<Pack<W>> charge;                       // [bodies]; not used by gravity
    [[nodiscard]] std::size_t bodies() const { return position.size(); }
};

namespace detail {

// Adds weight * (a - b) of every lane to `to_a` and subtracts it from `to_b`;
// weight(r2, lane) is the scalar law.
template <int W, class Weight>
inline void add_pair(const Vector3<W>& a, const Vector3<W>& b, Vector3<W>& to_a, Vector3<W>& to_b,
                     const Weight& weight) {
    for (int k = 0; k < W; ++k) {
        const double dx = a.x.lane[k] - b.x.lane[k];
        const double dy = a.y.lane[k] - b.y.lane[k];
        const double dz = a.z.lane[k] - b.z.lane[k];
        const double w = weight(dx * dx + dy * dy + dz * dz, k);
        to_a.x.lane[k] += w * dx;
        to_a.y.lane[k] += w * dy;
        to_a.z.lane[k] += w * dz;
        to_b.x.lane[k] -= w * dx;
        to_b.y.lane[k] -= w * dy;
        to_b.z.lane[k] -= w * dz;
    }
}

template <int W>
inline void add_scaled(Vector3<W>& to, const Vector3<W>& from, double factor) {
    for (int k = 0; k < W; ++k) {
        to.x.lane[k] += factor * from.x.lane[k];
        to.y.lane[k] += factor * from.y.lane[k];
        to.z.lane[k] += factor * from.z.lane[k];
    }
}

// The net force of each body, terms in ascending order of the other body.
template <int W, class PairWeight>
inline void sum_pairs(ParticleBlock<W>& block, const PairWeight& weight_of) {
    std::fill(block.force.begin(), block.force.end(), Vector3<W>{});
    for (std::size_t i = 0; i < block.bodies(); ++i) {
        const Vector3<W> here = block.position[i];
        Vector3<W> net = block.force[i];
        for (std::size_t j = i + 1; j < block.bodies(); ++j) {
            const Vector3<W> there = block.position[j];
            Vector3<W> other = block.force[j];
            add_pair(here, there, net, other, weight_of(i, j));
            block.force[j] = other;
        }
        block.force[i] = net;
    }
}

} // namespace detail

// F_i = clip( k sum_j q_i q_j (x_i - x_j) / |x_i - x_j|^3 ), each component of the net force.
struct ChargedForce {
    double strength = 1;
    double limit = 100;
    template <int W>
    void operator()(ParticleBlock<W>& block) const {
        detail::sum_pairs(block, [&](std::size_t i, std::size_t j) {
            return [qi = block.charge[i], qj = block.charge[j], this](double r2, int k) {
                return strength * qi.lane[k] * qj.lane[k] / (r2 * std::sqrt(r2));
            };
        });
        for (Vector3<W>& f : block.force) {
            for (int k = 0; k < W; ++k) {
                f.x.lane[k] = std::min(std::max(f.x.lane[k], -limit), limit);
                f.y.lane[k] = std::min(std::max(f.y.lane[k], -limit), limit);
                f.z.lane[k] = std::min(std::max(f.z.lane[k], -limit), limit);
            }
        }
    }
};

// F_i = G sum_j (x_j - x_i) / (|x_j - x_i|^2 + softening^2)^(3/2), unit masses.
struct GravityForce {
    double strength = 1;
    double softening = 0.1;
    template <int W>
    void operator()(ParticleBlock<W>& block) const {
        detail::sum_pairs(block, [this](std::size_t, std::size_t) {
            return [this](double r2, int) {
                const double s2 = r2 + softening * softening;
                return -strength / (s2 * std::sqrt(s2));
            };
        });
    }
};

// F_i = G sum_j m_j (x_j - x_i) / |x_j - x_i|^3: acceleration under gravity of masses, not softened.
struct MassiveGravity {
    double strength = 1;
    template <int W>
    void operator()(ParticleBlock<W>& block) const {
        detail::sum_pairs(block, [&](std::size_t i, std::size_t j) {
            return [mi = block.charge[i], mj = block.charge[j], this](double r2, int k) {
                return -strength * mi.lane[k] * mj.lane[k] / (r2 * std::sqrt(r2));
            };
        });
        for (std::size_t i = 0; i < block.bodies(); ++i) {
            for (int k = 0; k < W; ++k) {
                const double part = 1 / block.charge[i].lane[k];
                block.force[i].x.lane[k] *= part;
                block.force[i].y.lane[k] *= part;
                block.force[i].z.lane[k] *= part;
            }
        }
    }
};

// v <- v + dt F(x), x <- x + dt v. The published loop drifts first and kicks last in a step, with one
// kick before the loop: the same sequence, so a state stored by it goes on from here.
struct KickDrift {
    template <int W, class Force>
    void operator()(ParticleBlock<W>& block, const Force& force, double dt) const {
        force(block);
        for (std::size_t i = 0; i < block.bodies(); ++i) {
            detail::add_scaled(block.velocity[i], block.force[i], dt);
            detail::add_scaled(block.position[i], block.velocity[i], dt);
        }
    }
};

// Velocity Verlet. Expects block.force = F(x), leaves it so.
struct KickDriftKick {
    template <int W, class Force>
    void operator()(ParticleBlock<W>& block, const Force& force, double dt) const {
        for (std::size_t i = 0; i < block.bodies(); ++i) {
            detail::add_scaled(block.velocity[i], block.force[i], 0.5 * dt);
            detail::add_scaled(block.position[i], block.velocity[i], dt);
        }
        force(block);
        for (std::size_t i = 0; i < block.bodies(); ++i) {
            detail::add_scaled(block.velocity[i], block.force[i], 0.5 * dt);
        }
    }
};

} // namespace tether::data
