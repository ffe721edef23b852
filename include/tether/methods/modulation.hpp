// The reconstructed rule of `recm` (methods.md 5) for one site, as pure functions: how the gate follows
// from the rows that enter the layer and their targets. The published rule is not available; this one
// has its property, and another may replace it behind the nodes of recm.cpp.
//   z_s = (x_s, y_s), each divided by its running RMS;  g_s one random rotation per graph
//   delta_t = mean_s [v(z_s) - v(g_s z_s)],  h_t = (1 - a) h_{t-1} + a delta_t,  gamma_t = |h_t|
//   v = Linear(64) -> GELU -> Linear(8, no bias), spectral norms clipped at 3 after every update (Adam)
// Gradient: dL/d delta = a dL/dgamma h/(|h| + 1e-12); with q = h/(|h| + 1e-12) the sum over rows of
// d(q·delta)/dv is linear in the rows, so that it is reduced like any gradient and multiplied afterwards.
#pragma once

#include "tether/core/types.hpp"
#include "tether/kernels/modulation.hpp"

#include <array>
#include <span>
#include <vector>

namespace tether::methods {

using kernels::CriticShape;
using kernels::modulation_cap;
using kernels::modulation_hidden;
using kernels::modulation_size;
using kernels::running_square;

using ModulationVector = std::array<double, modulation_size>;

// a = clamp(20 / total steps, 1e-4, 1e-2)
[[nodiscard]] double modulation_rate(double total_steps);

// h <- (1-a) h + a delta; returns gamma = |h|.
double advance_modulation(double a, const ModulationVector& delta, ModulationVector& h);
// q = h / (|h| + 1e-12)
[[nodiscard]] ModulationVector direction(const ModulationVector& h);

// to += factor · v(z)
template <class T>
void add_critic(const CriticShape& shape, const T* v, const T* z, T factor, double* to);
// to [shape.size()] += factor · d(q·v(z))/dv. `outer` [64] = W2ᵀ q, from critic_outer.
template <class T>
void critic_outer(const CriticShape& shape, const T* v, const ModulationVector& q, T* outer);
template <class T>
void add_critic_gradient(const CriticShape& shape, const T* v, const T* outer, const ModulationVector& q,
                         const T* z, T factor, T* to);

// One Adam step of v (count from 1) with the gradient scale · gradient, then the clipping.
struct CriticUpdate {
    double learning_rate = 1e-3;
    double scale = 1;
    Index count = 1;
};
template <class T>
void update_critic(const CriticShape& shape, const CriticUpdate& update, const T* gradient, std::span<T> v,
                   std::span<T> first_moment, std::span<T> second_moment);

// Both matrices of v are scaled so that their largest singular value is at most 3.
void clip_critic(const CriticShape& shape, std::span<double> v);

// Largest singular value of a [rows x columns] matrix, exact to rounding.
[[nodiscard]] double largest_singular_value(const double* matrix, Index rows, Index columns);

} // namespace tether::methods
