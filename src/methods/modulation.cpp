#include "tether/methods/modulation.hpp"

#include "tether/kernels/activation.hpp"
#include "tether/kernels/adam.hpp"

#include <algorithm>
#include <cmath>

namespace tether::methods {
namespace {

constexpr Index hidden = modulation_hidden;

// before[k] = first layer of v, without the activation.
template <class T>
void first_layer(const CriticShape& shape, const T* v, const T* z, T* before) {
    std::copy_n(v + shape.bias(), hidden, before);
    for (Index i = 0; i < shape.in; ++i) {
        const T* w = v + i * hidden;
        for (Index k = 0; k < hidden; ++k) {
            before[k] += w[k] * z[i];
        }
    }
}

// M = A Aᵀ or Aᵀ A, whichever is smaller: its eigenvalues are the squared singular values.
Index smaller_gram(const double* a, Index rows, Index columns, std::vector<double>& m) {
    const Index n = std::min(rows, columns);
    m.assign(static_cast<std::size_t>(n * n), 0.0);
    if (rows <= columns) {
        for (Index i = 0; i < n; ++i) {
            for (Index j = 0; j <= i; ++j) {
                double sum = 0;
                for (Index k = 0; k < columns; ++k) {
                    sum += a[i * columns + k] * a[j * columns + k];
                }
                m[static_cast<std::size_t>(i * n + j)] = m[static_cast<std::size_t>(j * n + i)] = sum;
            }
        }
        return n;
    }
    for (Index k = 0; k < rows; ++k) {
        const double* row = a + k * columns;
        for (Index i = 0; i < n; ++i) {
            for (Index j = 0; j < n; ++j) {
                m[static_cast<std::size_t>(i * n + j)] += row[i] * row[j];
            }
        }
    }
    return n;
}

// Largest eigenvalue of a symmetric matrix by cyclic Jacobi rotations, in its place.
double largest_eigenvalue(std::vector<double>& m, Index n) {
    const auto at = [&](Index i, Index j) -> double& { return m[static_cast<std::size_t>(i * n + j)]; };
    for (int sweep = 0; sweep < 60; ++sweep) {
        double off = 0;
        double diagonal = 0;
        for (Index i = 0; i < n; ++i) {
            diagonal += at(i, i) * at(i, i);
            for (Index j = 0; j < i; ++j) {
                off += at(i, j) * at(i, j);
            }
        }
        if (off <= 1e-30 * diagonal) {
            break;
        }
        for (Index p = 0; p < n; ++p) {
            for (Index q = p + 1; q < n; ++q) {
                if (at(p, q) == 0) {
                    continue;
                }
                const double theta = (at(q, q) - at(p, p)) / (2 * at(p, q));
                const double t = (theta >= 0 ? 1.0 : -1.0) / (std::abs(theta) + std::sqrt(theta * theta + 1));
                const double c = 1 / std::sqrt(t * t + 1);
                const double s = t * c;
                for (Index k = 0; k < n; ++k) {
                    const double x = at(p, k);
                    const double y = at(q, k);
                    at(p, k) = c * x - s * y;
                    at(q, k) = s * x + c * y;
                }
                for (Index k = 0; k < n; ++k) {
                    const double x = at(k, p);
                    const double y = at(k, q);
                    at(k, p) = c * x - s * y;
                    at(k, q) = s * x + c * y;
                }
            }
        }
    }
    double most = 0;
    for (Index i = 0; i < n; ++i) {
        most = std::max(most, at(i, i));
    }
    return most;
}

// An upper bound of the largest eigenvalue of M >= 0 that costs one product: (tr M⁴)^(1/4).
double eigenvalue_bound(const std::vector<double>& m, Index n) {
    double trace = 0;
    thread_local std::vector<double> row;
    row.resize(static_cast<std::size_t>(n));
    for (Index i = 0; i < n; ++i) {
        std::ranges::fill(row, 0.0);
        for (Index k = 0; k < n; ++k) {
            const double x = m[static_cast<std::size_t>(i * n + k)];
            for (Index j = 0; j < n; ++j) {
                row[static_cast<std::size_t>(j)] += x * m[static_cast<std::size_t>(k * n + j)];
            }
        }
        for (const double x : row) {
            trace += x * x;
        }
    }
    return std::sqrt(std::sqrt(trace));
}

void clip(double* matrix, Index rows, Index columns) {
    thread_local std::vector<double> m; // kept from step to step
    const Index n = smaller_gram(matrix, rows, columns, m);
    constexpr double most = modulation_cap * modulation_cap;
    if (eigenvalue_bound(m, n) <= most) {
        return;
    }
    const double largest = std::sqrt(largest_eigenvalue(m, n));
    if (largest > modulation_cap) {
        for (Index k = 0; k < rows * columns; ++k) {
            matrix[k] *= modulation_cap / largest;
        }
    }
}

} // namespace

double modulation_rate(double total_steps) { return std::clamp(20 / total_steps, 1e-4, 1e-2); }

double advance_modulation(double a, const ModulationVector& delta, ModulationVector& h) {
    return kernels::advance_modulation(a, delta.data(), h.data());
}

ModulationVector direction(const ModulationVector& h) {
    ModulationVector q = h;
    kernels::modulation_direction(q.data());
    return q;
}

template <class T>
void add_critic(const CriticShape& shape, const T* v, const T* z, T factor, double* to) {
    T value[hidden];
    first_layer(shape, v, z, value);
    kernels::activate_all<Activation::gelu>(value, value, static_cast<T*>(nullptr), hidden);
    const T* second = v + shape.second();
    for (Index j = 0; j < modulation_size; ++j) {
        T sum = 0;
        for (Index k = 0; k < hidden; ++k) {
            sum += second[j * hidden + k] * value[k];
        }
        to[j] += static_cast<double>(factor * sum);
    }
}

template <class T>
void critic_outer(const CriticShape& shape, const T* v, const ModulationVector& q, T* outer) {
    std::fill_n(outer, hidden, T(0));
    for (Index j = 0; j < modulation_size; ++j) {
        const T* w = v + shape.second() + j * hidden;
        const T factor = static_cast<T>(q[static_cast<std::size_t>(j)]);
        for (Index k = 0; k < hidden; ++k) {
            outer[k] += factor * w[k];
        }
    }
}

template <class T>
void add_critic_gradient(const CriticShape& shape, const T* v, const T* outer, const ModulationVector& q,
                         const T* z, T factor, T* to) {
    T value[hidden];
    T slope[hidden];
    first_layer(shape, v, z, value);
    kernels::activate_all<Activation::gelu>(value, value, slope, hidden);
    for (Index k = 0; k < hidden; ++k) {
        slope[k] *= factor * outer[k];
        to[shape.bias() + k] += slope[k];
    }
    for (Index i = 0; i < shape.in; ++i) {
        T* w = to + i * hidden;
        for (Index k = 0; k < hidden; ++k) {
            w[k] += slope[k] * z[i];
        }
    }
    for (Index j = 0; j < modulation_size; ++j) {
        const T by = factor * static_cast<T>(q[static_cast<std::size_t>(j)]);
        T* w = to + shape.second() + j * hidden;
        for (Index k = 0; k < hidden; ++k) {
            w[k] += by * value[k];
        }
    }
}

template <class T>
void update_critic(const CriticShape& shape, const CriticUpdate& update, const T* gradient, std::span<T> v,
                   std::span<T> first_moment, std::span<T> second_moment) {
    const kernels::Adam<T> adam({}, update.learning_rate, update.count, update.scale);
    for (std::size_t k = 0; k < v.size(); ++k) {
        adam(v[k], gradient[k], first_moment[k], second_moment[k]);
    }
    thread_local std::vector<double> exact;
    exact.assign(v.begin(), v.end());
    clip_critic(shape, exact);
    for (std::size_t k = 0; k < v.size(); ++k) {
        v[k] = static_cast<T>(exact[k]);
    }
}

void clip_critic(const CriticShape& shape, std::span<double> v) {
    clip(v.data(), shape.in, hidden);
    clip(v.data() + shape.second(), modulation_size, hidden);
}

double largest_singular_value(const double* matrix, Index rows, Index columns) {
    std::vector<double> m;
    const Index n = smaller_gram(matrix, rows, columns, m);
    return std::sqrt(largest_eigenvalue(m, n));
}

#define TETHER_INSTANTIATE(T)                                                                                \
    template void add_critic<T>(const CriticShape&, const T*, const T*, T, double*);                         \
    template void critic_outer<T>(const CriticShape&, const T*, const ModulationVector&, T*);                \
    template void add_critic_gradient<T>(const CriticShape&, const T*, const T*, const ModulationVector&,    \
                                         const T*, T, T*);                                                   \
    template void update_critic<T>(const CriticShape&, const CriticUpdate&, const T*, std::span<T>,          \
                                   std::span<T>, std::span<T>);
TETHER_INSTANTIATE(float)
TETHER_INSTANTIATE(double)

} // namespace tether::methods
