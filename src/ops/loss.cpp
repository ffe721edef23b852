#include "tether/ops/loss.hpp"

#include "tether/core/error.hpp"
#include "tether/kernels/elementwise.hpp"
#include "tether/ops/elementwise.hpp"
#include "tether/ops/lane_reduce.hpp"

#include <cmath>
#include <memory>

namespace tether::ops {
namespace {

enum class Kind { squared, absolute };

class ErrorBackward : public OpOf<ErrorBackward> {
public:
    explicit ErrorBackward(Kind kind) : kind_(kind) {}
    [[nodiscard]] std::string_view name() const override { return "error_backward"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        const T factor = r.in(2)[0] * r.in(3)[0];
        const Index n = r.out_rows(0) * r.out_columns(0);
        for (Index i = 0; i < n; ++i) {
            const T d = r.in(0)[i] - r.in(1)[i];
            if (kind_ == Kind::squared) {
                r.out(0)[i] = T(2) * factor * d;
            } else {
                r.out(0)[i] = d > 0 ? factor : (d < 0 ? -factor : T(0));
            }
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.flat(r.output(0), kernels::ErrorSlopeNumbers<T>{r.in(0), r.in(1), r.in(2), r.in(3),
                                                          kind_ == Kind::squared, r.out(0)});
    }

private:
    Kind kind_;
};

class ErrorSum : public OpOf<ErrorSum> {
public:
    explicit ErrorSum(Kind kind) : kind_(kind) {}
    [[nodiscard]] std::string_view name() const override {
        return kind_ == Kind::squared ? "squared_error" : "absolute_error";
    }
    template <class T>
    void execute(Run<T>& r) const {
        const Index columns = r.in_columns(0);
        lane_tree<T>(r.lanes(r.inputs[0].extent), 1, r.out(0), false, *r.scratch,
                     [&](Index first, Index last, T* leaf) {
                         T sum = 0;
                         for (Index i = first * columns; i < last * columns; ++i) {
                             const T d = r.in(0)[i] - r.in(1)[i];
                             sum += kind_ == Kind::squared ? d * d : std::abs(d);
                         }
                         leaf[0] = r.in(2)[0] * sum;
                     });
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        kernels::LaneRows rows = r.lanes(r.input(0).extent);
        rows.times *= r.in_columns(0); // number by number
        T* partial = r.memory->template scratch<T>(rows.lanes);
        const kernels::LaneSums<T, kernels::ErrorLeaf<T>, 1> sums{
            rows, 1, {r.in(0), r.in(1), kind_ == Kind::squared}, partial};
        r.list->team(sums.blocks(), sums);
        r.list->each(1, kernels::ScaledLaneTotal<T>{partial, rows.lanes, r.in(2), r.out(0)});
    }
    void reverse(Reverse& r) const override {
        Builder& b = r.builder();
        const ValueInfo x = b.info(r.in(0));
        check(!r.wants(1), "the target of a loss cannot need a gradient");
        r.add(0, b.append(std::make_shared<ErrorBackward>(kind_), {r.in(0), r.in(1), r.in(2), r.gradient(0)},
                          x.extent, x.columns));
    }

private:
    Kind kind_;
};

class InnerProduct : public OpOf<InnerProduct> {
public:
    [[nodiscard]] std::string_view name() const override { return "inner_product"; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index columns = r.in_columns(0);
        lane_reduce<T>(r.lanes(r.inputs[0].extent), 1, r.out(0), false, *r.scratch, [&](Index row, T* to) {
            for (Index c = 0; c < columns; ++c) {
                to[0] += r.in(0)[row * columns + c] * r.in(1)[row * columns + c];
            }
        });
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        kernels::LaneRows rows = r.lanes(r.input(0).extent);
        rows.times *= r.in_columns(0); // number by number
        r.template sum_over_lanes<1, T>(rows, 1, kernels::ProductLeaf<T>{r.in(0), r.in(1)},
                                        kernels::PutTotal<T>{r.out(0)});
    }
    void reverse(Reverse& r) const override {
        for (int i = 0; i < 2; ++i) {
            if (r.wants(i)) {
                r.add(i, scale_by(r.builder(), r.in(1 - i), r.gradient(0)));
            }
        }
    }
};

Value error(Builder& b, Value prediction, Value target, Value factor, Kind kind) {
    check(b.info(prediction).extent == b.info(target).extent &&
              b.info(prediction).columns == b.info(target).columns,
          "loss: prediction of {} columns, target of {}", b.info(prediction).columns, b.info(target).columns);
    check(b.info(factor).columns == 1 && b.info(factor).extent == Extent{}, "loss: the factor is one number");
    return b.append(std::make_shared<ErrorSum>(kind), {prediction, target, factor}, {Axis::one, 1}, 1);
}

} // namespace

Value squared_error(Builder& b, Value prediction, Value target, Value factor) {
    return error(b, prediction, target, factor, Kind::squared);
}
Value absolute_error(Builder& b, Value prediction, Value target, Value factor) {
    return error(b, prediction, target, factor, Kind::absolute);
}
Value inner_product(Builder& b, Value x, Value y) {
    check(b.info(x).extent == b.info(y).extent && b.info(x).columns == b.info(y).columns,
          "inner_product: shapes differ");
    check(b.info(x).extent.axis != Axis::one, "inner_product: rows of the batch expected, found one row");
    return b.append(std::make_shared<InnerProduct>(), {x, y}, {Axis::one, 1}, 1);
}

} // namespace tether::ops
