// sigma = uᵀ W v after power iterations u = Wv/|Wv|, v = Wᵀu/|Wᵀu|; d sigma / dW = u vᵀ.
#include "tether/core/error.hpp"
#include "tether/ops/norms.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

namespace tether::ops {
namespace {

template <class T>
void normalise(T* x, Index n) {
    T square = 0;
    for (Index i = 0; i < n; ++i) {
        square += x[i] * x[i];
    }
    const T norm = std::max(std::sqrt(square), static_cast<T>(1e-12));
    for (Index i = 0; i < n; ++i) {
        x[i] /= norm;
    }
}

// Inputs W, u, v; outputs 1/sigma, u, v (as used), next u, next v.
class SpectralNorm : public OpOf<SpectralNorm> {
public:
    SpectralNorm(Index out, Index in, int iterations) : rows_(out), columns_(in), iterations_(iterations) {}
    [[nodiscard]] std::string_view name() const override { return "inverse_spectral_norm"; }
    template <class T>
    void execute(Run<T>& r) const {
        const auto needed = static_cast<std::size_t>(rows_ + columns_);
        if (r.scratch->size() < needed) {
            r.scratch->resize(needed);
        }
        const T* w = r.in(0);
        T* u = r.has_out(1) ? r.out(1) : r.scratch->data();
        T* v = r.has_out(2) ? r.out(2) : r.scratch->data() + rows_;
        std::copy_n(r.in(1), rows_, u);
        std::copy_n(r.in(2), columns_, v);
        for (int k = 0; k < iterations_; ++k) {
            times_v(w, v, u);
            normalise(u, rows_);
            std::fill_n(v, columns_, T(0));
            for (Index i = 0; i < rows_; ++i) {
                for (Index j = 0; j < columns_; ++j) {
                    v[j] += w[i * columns_ + j] * u[i];
                }
            }
            normalise(v, columns_);
        }
        T sigma = 0;
        for (Index i = 0; i < rows_; ++i) {
            T sum = 0;
            for (Index j = 0; j < columns_; ++j) {
                sum += w[i * columns_ + j] * v[j];
            }
            sigma += u[i] * sum;
        }
        if (r.has_out(0)) { // a branch the loss does not reach still updates its buffers
            r.out(0)[0] = T(1) / sigma;
        }
        if (iterations_ > 0 && r.commits_state && r.has_out(3)) {
            std::copy_n(u, rows_, r.out(3));
            std::copy_n(v, columns_, r.out(4));
        }
    }
    void reverse(Reverse& r) const override;

private:
    template <class T>
    void times_v(const T* w, const T* v, T* u) const {
        for (Index i = 0; i < rows_; ++i) {
            T sum = 0;
            for (Index j = 0; j < columns_; ++j) {
                sum += w[i * columns_ + j] * v[j];
            }
            u[i] = sum;
        }
    }
    Index rows_, columns_;
    int iterations_;
};

// Inputs d(1/sigma), 1/sigma, u, v; adds -d/sigma² u vᵀ to the gradient of W.
class SpectralNormBackward : public OpOf<SpectralNormBackward> {
public:
    explicit SpectralNormBackward(bool accumulate) : accumulate_(accumulate) {}
    [[nodiscard]] std::string_view name() const override { return "spectral_norm_backward"; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index rows = r.in_columns(2);
        const Index columns = r.in_columns(3);
        const T factor = -r.in(0)[0] * r.in(1)[0] * r.in(1)[0];
        for (Index i = 0; i < rows; ++i) {
            const T f = factor * r.in(2)[i];
            for (Index j = 0; j < columns; ++j) {
                T& to = r.out(0)[i * columns + j];
                to = accumulate_ ? to + f * r.in(3)[j] : f * r.in(3)[j];
            }
        }
    }

private:
    bool accumulate_;
};

void SpectralNorm::reverse(Reverse& r) const {
    Builder& b = r.builder();
    bool first = true;
    // The same part as ops::linear writes: the whole matrix.
    const Value gradient = b.parameter_gradient(r.in(0), {0, 1, columns_, columns_, rows_}, first);
    b.append_into(std::make_shared<SpectralNormBackward>(!first), {r.gradient(0), r.out(0), r.out(1), r.out(2)},
                  {gradient});
}

} // namespace

Value inverse_spectral_norm(Builder& b, Value weight, Value u, Value v, Index out, Index in, int iterations) {
    check(b.info(weight).columns == out * in && b.info(u).columns == out && b.info(v).columns == in,
          "inverse_spectral_norm: weight of {} elements, u of {}, v of {}, expected {} x {}", b.info(weight).columns,
          b.info(u).columns, b.info(v).columns, out, in);
    const Extent one{Axis::one, 1};
    const Value inverse = b.append_all(std::make_shared<SpectralNorm>(out, in, iterations), {weight, u, v},
                                       {{one, 1}, {one, out}, {one, in}})
                              .front();
    if (iterations > 0) {
        const Value next_u = b.next_state(u);
        const Value next_v = b.next_state(v);
        auto& outputs = b.program().nodes.back().out;
        outputs.insert(outputs.end(), {next_u, next_v});
    }
    return inverse;
}

} // namespace tether::ops
