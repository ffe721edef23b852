#include "tether/ops/elementwise.hpp"

#include "src/ops/shapes.hpp"
#include "tether/core/error.hpp"
#include "tether/kernels/elementwise.hpp"
#include "tether/ops/block_linear.hpp"
#include "tether/ops/lane_reduce.hpp"
#include "tether/ops/scalar_gradient.hpp"

#include <memory>

namespace tether::ops {
namespace {

void one_number(const Builder& b, Value scalar, const char* name) {
    check(b.info(scalar).columns == 1 && b.info(scalar).extent == Extent{},
          "{} has {} columns, expected one number", name, b.info(scalar).columns);
}

template <class T>
Index elements(const Run<T>& r) {
    return r.out_rows(0) * r.out_columns(0);
}

double size_of(const Run<float>& r) { return static_cast<double>(r.out_rows(0) * r.out_columns(0)); }

class Multiply : public OpOf<Multiply> {
public:
    [[nodiscard]] std::string_view name() const override { return "multiply"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        const T* __restrict__ x = r.in(0);
        const T* __restrict__ y = r.in(1);
        T* __restrict__ out = r.out(0);
        const Index n = elements(r);
        for (Index i = 0; i < n; ++i) {
            out[i] = x[i] * y[i];
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.flat(r.output(0), kernels::MultiplyNumbers<T>{r.in(0), r.in(1), r.out(0)});
    }
    void reverse(Reverse& r) const override {
        for (int i = 0; i < 2; ++i) {
            if (r.wants(i)) {
                r.add(i, multiply(r.builder(), r.gradient(0), r.in(1 - i)));
            }
        }
    }
    [[nodiscard]] double flop(const Run<float>& r) const override { return size_of(r); }
};

class Scale : public OpOf<Scale> {
public:
    explicit Scale(double factor) : factor_(factor) {}
    [[nodiscard]] std::string_view name() const override { return "scale"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        const T* __restrict__ x = r.in(0);
        T* __restrict__ out = r.out(0);
        const T factor = static_cast<T>(factor_);
        const Index n = elements(r);
        for (Index i = 0; i < n; ++i) {
            out[i] = factor * x[i];
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.flat(r.output(0), kernels::ScaleNumbers<T>{r.in(0), static_cast<T>(factor_), r.out(0)});
    }
    void reverse(Reverse& r) const override { r.add(0, scale(r.builder(), r.gradient(0), factor_)); }
    [[nodiscard]] double flop(const Run<float>& r) const override { return size_of(r); }

private:
    double factor_;
};

class ScaleBy : public OpOf<ScaleBy> {
public:
    [[nodiscard]] std::string_view name() const override { return "scale_by"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        const T* __restrict__ x = r.in(0);
        T* __restrict__ out = r.out(0);
        const T factor = r.in(1)[0];
        const Index n = elements(r);
        for (Index i = 0; i < n; ++i) {
            out[i] = factor * x[i];
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.flat(r.output(0), kernels::ScaleNumbersBy<T>{r.in(0), r.in(1), r.out(0)});
    }
    void reverse(Reverse& r) const override {
        if (r.wants(0)) {
            r.add(0, scale_by(r.builder(), r.gradient(0), r.in(1)));
        }
        if (r.wants(1)) {
            scalar_gradient(r, 1, r.gradient(0), r.in(0));
        }
    }
    [[nodiscard]] double flop(const Run<float>& r) const override { return size_of(r); }
};

class GatedAdd : public OpOf<GatedAdd> {
public:
    [[nodiscard]] std::string_view name() const override { return "gated_add"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        const T* __restrict__ x = r.in(0);
        const T* __restrict__ y = r.in(2);
        T* __restrict__ out = r.out(0);
        const T factor = r.in(1)[0];
        const Index n = elements(r);
        for (Index i = 0; i < n; ++i) {
            out[i] = x[i] + factor * y[i];
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.flat(r.output(0), kernels::GatedAddNumbers<T>{r.in(0), r.in(1), r.in(2), r.out(0)});
    }
    void reverse(Reverse& r) const override {
        if (r.wants(0)) {
            r.add(0, r.gradient(0));
        }
        if (r.wants(1)) {
            scalar_gradient(r, 1, r.gradient(0), r.in(2));
        }
        if (r.wants(2)) {
            r.add(2, scale_by(r.builder(), r.gradient(0), r.in(1)));
        }
    }
    [[nodiscard]] double flop(const Run<float>& r) const override { return 2 * size_of(r); }
};

// Outputs value and slope. Both are kept for the reverse pass: making them again from the argument
// halves the arena of EGNO but costs 4 to 8 % more time (measured).
class Activate : public OpOf<Activate> {
public:
    explicit Activate(Activation kind) : kind_(kind) {}
    [[nodiscard]] std::string_view name() const override { return "activation"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        kernels::with_activation(kind_, [&]<Activation kind>() {
            kernels::activate_all<kind>(r.in(0), r.out(0), r.has_out(1) ? r.out(1) : nullptr, elements(r));
        });
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        kernels::with_activation(kind_, [&]<Activation kind>() {
            r.flat(r.output(0),
                   kernels::ActivateNumbers<T, kind>{r.in(0), r.out(0), r.has_out(1) ? r.out(1) : nullptr});
        });
    }
    void reverse(Reverse& r) const override { r.add(0, multiply(r.builder(), r.gradient(0), r.out(1))); }

private:
    Activation kind_;
};

class Clamp : public OpOf<Clamp> {
public:
    explicit Clamp(double bound) : bound_(bound) {}
    [[nodiscard]] std::string_view name() const override { return "clamp"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index n = elements(r);
        const T bound = static_cast<T>(bound_);
        for (Index i = 0; i < n; ++i) {
            const T x = r.in(0)[i];
            r.out(0)[i] = std::clamp(x, -bound, bound);
            if (r.has_out(1)) {
                r.out(1)[i] = x >= -bound && x <= bound ? T(1) : T(0);
            }
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.flat(r.output(0), kernels::ClampNumbers<T>{r.in(0), static_cast<T>(bound_), r.out(0),
                                                     r.has_out(1) ? r.out(1) : nullptr});
    }
    void reverse(Reverse& r) const override { r.add(0, multiply(r.builder(), r.gradient(0), r.out(1))); }

private:
    double bound_;
};

class AddBias : public OpOf<AddBias> {
public:
    [[nodiscard]] std::string_view name() const override { return "add_bias"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index columns = r.out_columns(0);
        for (Index row = 0; row < r.out_rows(0); ++row) {
            for (Index c = 0; c < columns; ++c) {
                r.out(0)[row * columns + c] = r.in(0)[row * columns + c] + r.in(1)[c];
            }
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.numbers(r.output(0), kernels::AddBiasNumbers<T>{r.in(0), r.in(1), r.out(0), r.out_columns(0)});
    }
    void reverse(Reverse& r) const override {
        if (r.wants(0)) {
            r.add(0, r.gradient(0));
        }
        if (r.wants(1)) {
            bias_gradient(r.builder(), r.gradient(0), r.in(1));
        }
    }
};

// Sum over all elements of x · y: the gradient of a scalar factor.
class Dot : public OpOf<Dot> {
public:
    [[nodiscard]] std::string_view name() const override { return "dot"; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index columns = r.in_columns(0);
        // Sixteen partial sums per lane, added at its end: vectorises, and the order is always the same.
        constexpr Index parts = 16;
        lane_tree<T>(r.lanes(r.inputs[0].extent), 1, r.out(0), false, *r.scratch,
                     [&](Index first, Index last, T* leaf) {
                         T sum[parts] = {};
                         for (Index row = first; row < last; ++row) {
                             const T* __restrict__ x = r.in(0) + row * columns;
                             const T* __restrict__ y = r.in(1) + row * columns;
                             Index c = 0;
                             for (; c + parts <= columns; c += parts) {
                                 for (Index k = 0; k < parts; ++k) {
                                     sum[k] += x[c + k] * y[c + k];
                                 }
                             }
                             for (Index k = 0; c + k < columns; ++k) {
                                 sum[k] += x[c + k] * y[c + k];
                             }
                         }
                         for (Index width = parts / 2; width > 0; width /= 2) {
                             for (Index k = 0; k < width; ++k) {
                                 sum[k] += sum[k + width];
                             }
                         }
                         leaf[0] = sum[0];
                     });
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        kernels::LaneRows rows = r.lanes(r.input(0).extent);
        rows.times *= r.in_columns(0); // number by number
        r.gradient_sum(rows, 1, r.in(0), r.in(1), 1);
    }
    [[nodiscard]] double flop(const Run<float>& r) const override {
        return 2.0 * static_cast<double>(r.in_rows(0) * r.in_columns(0));
    }
};

} // namespace

void scalar_gradient(Reverse& r, int input, Value dy, Value x) {
    Builder& b = r.builder();
    // Only a parameter's gradient may be left as a sum over a part of the batch, or one that says so.
    if (b.info(r.in(input)).part_gradient) {
        r.add(input, b.append(std::make_shared<Dot>(), {dy, x}, {Axis::one, 1}, 1));
        return;
    }
    check(b.info(r.in(input)).kind == ValueKind::parameter,
          "the gradient of a computed scalar ({}) is not supported", b.info(r.in(input)).name);
    b.append_into(std::make_shared<Dot>(), {dy, x}, {b.parameter_gradient(r.in(input), {{0, 0, 1, 1, 1}})});
}

Value add(Builder& b, std::vector<Value> values) {
    check(!values.empty(), "add: nothing to add");
    for (const Value v : values) {
        same_shape(b, values.front(), v, "add");
    }
    const ValueInfo i = b.info(values.front());
    return values.size() == 1 ? values.front() : b.append(add_op(), std::move(values), i.extent, i.columns);
}

Value multiply(Builder& b, Value x, Value y) {
    same_shape(b, x, y, "multiply");
    return b.append(std::make_shared<Multiply>(), {x, y}, b.info(x).extent, b.info(x).columns);
}

Value scale(Builder& b, Value x, double factor) {
    return b.append(std::make_shared<Scale>(factor), {x}, b.info(x).extent, b.info(x).columns);
}

Value scale_by(Builder& b, Value x, Value scalar) {
    one_number(b, scalar, "scale_by: the factor");
    return b.append(std::make_shared<ScaleBy>(), {x, scalar}, b.info(x).extent, b.info(x).columns);
}

Value gated_add(Builder& b, Value x, Value scalar, Value y) {
    same_shape(b, x, y, "gated_add");
    one_number(b, scalar, "gated_add: the gate");
    return b.append(std::make_shared<GatedAdd>(), {x, scalar, y}, b.info(x).extent, b.info(x).columns);
}

Value activation(Builder& b, Value x, Activation kind) {
    const ValueInfo i = b.info(x);
    return b.append_all(std::make_shared<Activate>(kind), {x}, {{i.extent, i.columns}, {i.extent, i.columns}})
        .front();
}

Value clamp(Builder& b, Value x, double bound) {
    check(bound >= 0, "clamp: bound {}, expected at least 0", bound);
    const ValueInfo i = b.info(x);
    return b.append_all(std::make_shared<Clamp>(bound), {x}, {{i.extent, i.columns}, {i.extent, i.columns}})
        .front();
}

Value add_bias(Builder& b, Value x, Value bias) {
    check(b.info(bias).columns == b.info(x).columns && b.info(bias).extent == Extent{},
          "add_bias: {} biases in one row expected, found {}", b.info(x).columns, b.info(bias).columns);
    return b.append(std::make_shared<AddBias>(), {x, bias}, b.info(x).extent, b.info(x).columns);
}

} // namespace tether::ops
