// sigma = uᵀ W v after power iterations u = Wv/|Wv|, v = Wᵀu/|Wᵀu|; d sigma / dW = u vᵀ. With G the
// gradient of W through x Wᵀ alone (it contains 1/sigma already), dW = G - <G, W>/sigma · u vᵀ. That is
// not linear in parts of G, so it is done once G is summed over all lanes.
#include "tether/kernels/spectral_norm.hpp"
#include "tether/core/error.hpp"
#include "tether/kernels/elementwise.hpp"
#include "tether/ops/elementwise.hpp"
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
    template <class T>
    void record(DeviceRun<T>& r) const {
        const bool commits = iterations_ > 0 && r.commits_state && r.has_out(3);
        r.list->team(
            1, kernels::PowerIterations<T>{r.in(0), r.in(1), r.in(2), rows_, columns_, iterations_,
                                           r.has_out(1) ? r.out(1) : r.memory->template scratch<T>(rows_),
                                           r.has_out(2) ? r.out(2) : r.memory->template scratch<T>(columns_),
                                           r.has_out(0) ? r.out(0) : nullptr, commits ? r.out(3) : nullptr,
                                           commits ? r.out(4) : nullptr});
    }

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

// Inputs W, 1/sigma, u, v; corrects the summed gradient of W.
class SpectralGradient : public OpOf<SpectralGradient> {
public:
    [[nodiscard]] std::string_view name() const override { return "spectral_gradient"; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index rows = r.in_columns(2);
        const Index columns = r.in_columns(3);
        T* g = r.out(0);
        T product = 0;
        for (Index i = 0; i < rows * columns; ++i) {
            product += g[i] * r.in(0)[i];
        }
        const T factor = product * r.in(1)[0];
        for (Index i = 0; i < rows; ++i) {
            for (Index j = 0; j < columns; ++j) {
                g[i * columns + j] -= factor * r.in(2)[i] * r.in(3)[j];
            }
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        const Index columns = r.in_columns(3);
        const Index size = r.in_columns(2) * columns;
        T* factor = r.memory->template scratch<T>(1);
        r.list->team(1, kernels::SpectralProduct<T>{r.out(0), r.in(0), r.in(1), size, factor});
        r.list->each(size, kernels::SpectralGradientNumbers<T>{factor, r.in(2), r.in(3), columns, r.out(0)});
    }
};

// y · (1/sigma); inputs y, 1/sigma, W, u, v.
class DivideBySigma : public OpOf<DivideBySigma> {
public:
    [[nodiscard]] std::string_view name() const override { return "divide_by_spectral_norm"; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index n = r.out_rows(0) * r.out_columns(0);
        const T factor = r.in(1)[0];
        for (Index i = 0; i < n; ++i) {
            r.out(0)[i] = factor * r.in(0)[i];
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.flat(r.output(0), kernels::ScaleNumbersBy<T>{r.in(0), r.in(1), r.out(0)});
    }
    void reverse(Reverse& r) const override {
        Builder& b = r.builder();
        b.append_after_reduction(std::make_shared<SpectralGradient>(), {r.in(2), r.in(1), r.in(3), r.in(4)},
                                 r.in(2));
        r.add(0, scale_by(b, r.gradient(0), r.in(1)));
    }
};

} // namespace

Value divide_by_spectral_norm(Builder& b, Value y, Value weight, Value u, Value v, Index out, Index in,
                              int iterations) {
    check(b.info(weight).columns == out * in && b.info(u).columns == out && b.info(v).columns == in,
          "divide_by_spectral_norm: weight of {} elements, u of {}, v of {}, expected {} x {}",
          b.info(weight).columns, b.info(u).columns, b.info(v).columns, out, in);
    const Extent one{Axis::one, 1};
    const std::vector<Value> norm = b.append_all(std::make_shared<SpectralNorm>(out, in, iterations),
                                                 {weight, u, v}, {{one, 1}, {one, out}, {one, in}});
    if (iterations > 0) {
        const Value next_u = b.next_state(u);
        const Value next_v = b.next_state(v);
        auto& outputs = b.program().nodes.back().out;
        outputs.insert(outputs.end(), {next_u, next_v});
    }
    return b.append(std::make_shared<DivideBySigma>(), {y, norm[0], weight, norm[1], norm[2]},
                    b.info(y).extent, b.info(y).columns);
}

} // namespace tether::ops
