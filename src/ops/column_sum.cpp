// Sums over rows: gradients of biases (block_linear.hpp).
#include "tether/core/error.hpp"
#include "tether/kernels/elementwise.hpp"
#include "tether/ops/block_linear.hpp"
#include "tether/ops/lane_reduce.hpp"

#include <algorithm>
#include <memory>

namespace tether::ops {
namespace {

class ColumnSum : public OpOf<ColumnSum> {
public:
    explicit ColumnSum(Index columns) : columns_(columns) {}
    [[nodiscard]] std::string_view name() const override { return "column_sum"; }
    [[nodiscard]] bool sums_tiles() const override { return true; }
    template <class T>
    void execute(Run<T>& r) const {
        const T* x = r.in(0);
        const Index stride = r.in_columns(0);
        const auto add = [&](Index row, T* __restrict__ sum) {
            const T* __restrict__ from = x + row * stride;
            for (Index c = 0; c < columns_; ++c) {
                sum[c] += from[c];
            }
        };
        if (!r.sums_tiles) {
            lane_reduce(r.lanes(r.inputs[0].extent), columns_, r.out(0), false, *r.scratch, add);
            return;
        }
        LaneTree<T> tree(r.tile.lanes, columns_, *r.partial);
        if (r.tile.begins) {
            tree.clear();
        }
        for (Index row = 0; row < r.in_rows(0); ++row) {
            add(row, tree.sum());
        }
        if (r.tile.ends) {
            tree.add(r.tile.lane);
            if (r.tile.lane + 1 == r.tile.lanes) {
                std::copy_n(tree.sum(), columns_, r.out(0));
            }
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.gradient_sum(r.lanes(r.input(0).extent), columns_, r.in(0), nullptr, r.in_columns(0));
    }
    [[nodiscard]] double flop(const Run<float>& r) const override {
        return static_cast<double>(r.in_rows(0) * columns_);
    }

private:
    Index columns_;
};

} // namespace

void bias_gradient(Builder& b, Value dy, Value bias) {
    const Index columns = b.info(bias).columns;
    const Value gradient = b.parameter_gradient(bias, {{0, 0, 1, 1, columns}});
    b.append_into(std::make_shared<ColumnSum>(columns), {dy}, {gradient});
}

Value column_sum(Builder& b, Value x) {
    check(b.info(x).extent.axis != Axis::one, "column_sum: rows of the batch expected, {} is one row",
          b.info(x).name);
    return b.append(std::make_shared<ColumnSum>(b.info(x).columns), {x}, {Axis::one, 1}, b.info(x).columns);
}

} // namespace tether::ops
