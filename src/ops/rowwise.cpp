// Operations between rows and one number per row.
#include "src/ops/shapes.hpp"
#include "tether/core/error.hpp"
#include "tether/kernels/elementwise.hpp"
#include "tether/ops/elementwise.hpp"

#include <cmath>
#include <memory>

namespace tether::ops {
namespace {

class ScaleRows : public OpOf<ScaleRows> {
public:
    [[nodiscard]] std::string_view name() const override { return "scale_rows"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index columns = r.out_columns(0);
        for (Index row = 0; row < r.out_rows(0); ++row) {
            const T s = r.in(1)[row];
            for (Index c = 0; c < columns; ++c) {
                r.out(0)[row * columns + c] = r.in(0)[row * columns + c] * s;
            }
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.numbers(r.output(0), kernels::ScaleRowNumbers<T>{r.in(0), r.in(1), r.out(0), r.out_columns(0)});
    }
    void reverse(Reverse& r) const override {
        if (r.wants(0)) {
            r.add(0, scale_rows(r.builder(), r.gradient(0), r.in(1)));
        }
        if (r.wants(1)) {
            r.add(1, row_dot(r.builder(), r.gradient(0), r.in(0)));
        }
    }
    [[nodiscard]] double flop(const Run<float>& r) const override {
        return static_cast<double>(r.out_rows(0) * r.out_columns(0));
    }
};

class RowDot : public OpOf<RowDot> {
public:
    [[nodiscard]] std::string_view name() const override { return "row_dot"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index columns = r.in_columns(0);
        for (Index row = 0; row < r.out_rows(0); ++row) {
            T sum = 0;
            for (Index c = 0; c < columns; ++c) {
                sum += r.in(0)[row * columns + c] * r.in(1)[row * columns + c];
            }
            r.out(0)[row] = sum;
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.each_row(r.output(0), kernels::DotRow<T>{r.in(0), r.in(1), r.out(0), r.in_columns(0)});
    }
    void reverse(Reverse& r) const override {
        for (int i = 0; i < 2; ++i) {
            if (r.wants(i)) {
                r.add(i, scale_rows(r.builder(), r.in(1 - i), r.gradient(0)));
            }
        }
    }
    [[nodiscard]] double flop(const Run<float>& r) const override {
        return 2.0 * static_cast<double>(r.out_rows(0) * r.in_columns(0));
    }
};

// Outputs the norm and, for the reverse pass, the unit vector (0 for the zero vector).
class RowNorm : public OpOf<RowNorm> {
public:
    [[nodiscard]] std::string_view name() const override { return "row_norm"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index columns = r.in_columns(0);
        for (Index row = 0; row < r.out_rows(0); ++row) {
            const T* x = r.in(0) + row * columns;
            T sum = 0;
            for (Index c = 0; c < columns; ++c) {
                sum += x[c] * x[c];
            }
            const T norm = std::sqrt(sum);
            r.out(0)[row] = norm;
            if (r.has_out(1)) {
                for (Index c = 0; c < columns; ++c) {
                    r.out(1)[row * columns + c] = norm > 0 ? x[c] / norm : T(0);
                }
            }
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.each_row(r.output(0), kernels::NormRow<T>{r.in(0), r.out(0), r.has_out(1) ? r.out(1) : nullptr,
                                                    r.in_columns(0)});
    }
    void reverse(Reverse& r) const override { r.add(0, scale_rows(r.builder(), r.out(1), r.gradient(0))); }
};

} // namespace

Value scale_rows(Builder& b, Value x, Value s) {
    check(b.info(s).columns == 1 && b.info(s).extent == b.info(x).extent,
          "scale_rows: one factor per row expected");
    return b.append(std::make_shared<ScaleRows>(), {x, s}, b.info(x).extent, b.info(x).columns);
}

Value row_dot(Builder& b, Value x, Value y) {
    same_shape(b, x, y, "row_dot");
    return b.append(std::make_shared<RowDot>(), {x, y}, b.info(x).extent, 1);
}

Value row_norm(Builder& b, Value x) {
    const ValueInfo i = b.info(x);
    return b.append_all(std::make_shared<RowNorm>(), {x}, {{i.extent, 1}, {i.extent, i.columns}}).front();
}

} // namespace tether::ops
