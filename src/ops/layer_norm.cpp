// Layer norm without weights (kernels/layer_norm.hpp).
#include "tether/kernels/layer_norm.hpp"

#include "tether/core/error.hpp"
#include "tether/ops/norms.hpp"

#include <memory>

namespace tether::ops {
namespace {

// Inputs y, dy, s; output dx.
class LayerNormBackward : public OpOf<LayerNormBackward> {
public:
    [[nodiscard]] std::string_view name() const override { return "layer_norm_backward"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index n = r.out_columns(0);
        for (Index row = 0; row < r.out_rows(0); ++row) {
            kernels::layer_norm_row_backward(n, r.in(2)[row], r.in(0) + row * n, r.in(1) + row * n,
                                             r.out(0) + row * n);
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.list->team(kernels::LayerNormRows::blocks(r.output(0).capacity),
                     kernels::LayerNormBackwardTeam<T>{r.rows(r.output(0).extent), r.out_columns(0), r.in(0),
                                                       r.in(1), r.in(2), r.out(0)});
    }
    [[nodiscard]] double flop(const Run<float>& r) const override {
        return 7 * static_cast<double>(r.out_rows(0) * r.out_columns(0));
    }
};

// Input x; outputs y, s [rows x 1].
class LayerNorm : public OpOf<LayerNorm> {
public:
    explicit LayerNorm(double eps) : eps_(eps) {}
    [[nodiscard]] std::string_view name() const override { return "layer_norm"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index n = r.out_columns(0);
        for (Index row = 0; row < r.out_rows(0); ++row) {
            const T s =
                kernels::layer_norm_row(n, static_cast<T>(eps_), r.in(0) + row * n, r.out(0) + row * n);
            if (r.has_out(1)) {
                r.out(1)[row] = s;
            }
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.list->team(kernels::LayerNormRows::blocks(r.output(0).capacity),
                     kernels::LayerNormTeam<T>{r.rows(r.output(0).extent), r.out_columns(0),
                                               static_cast<T>(eps_), r.in(0), r.out(0),
                                               r.has_out(1) ? r.out(1) : nullptr});
    }
    void reverse(Reverse& r) const override {
        Builder& b = r.builder();
        const ValueInfo x = b.info(r.in(0));
        r.add(0, b.append(std::make_shared<LayerNormBackward>(), {r.out(0), r.gradient(0), r.out(1)},
                          x.extent, x.columns));
    }
    [[nodiscard]] double flop(const Run<float>& r) const override {
        return 5 * static_cast<double>(r.out_rows(0) * r.out_columns(0));
    }

private:
    double eps_;
};

} // namespace

Value layer_norm(Builder& b, Value x, double eps) {
    const ValueInfo i = b.info(x);
    check(i.extent.axis != Axis::one, "layer_norm: rows of the batch expected, found one row");
    check(eps > 0, "layer_norm: eps is {}, expected a positive number", eps);
    return b.append_all(std::make_shared<LayerNorm>(eps), {x}, {{i.extent, i.columns}, {i.extent, 1}})
        .front();
}

} // namespace tether::ops
