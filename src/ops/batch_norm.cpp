// Batch norm over all rows of the global batch. Sums run in double: rows of a lane in order, lanes,
// threads and ranks by the fixed tree (Run::exchange). With xh the normalised input, N rows:
// dx = w s (dy - (sum dy)/N - xh (sum dy xh)/N).
#include "tether/kernels/batch_norm.hpp"
#include "tether/core/error.hpp"
#include "tether/kernels/elementwise.hpp"
#include "tether/ops/lane_reduce.hpp"
#include "tether/ops/norms.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

namespace tether::ops {
namespace {

// Sums over the global batch of what `add` gives per row, plus the number of rows in the last entry.
template <class T, class Add>
std::span<double> batch_sums(Run<T>& r, Extent extent, Index columns, std::vector<double>& to, Add&& add) {
    const auto n = static_cast<std::size_t>(columns + 1);
    to.resize(n);
    lane_reduce<double>(r.lanes(extent), columns + 1, to.data(), false, *r.sums, [&](Index row, double* sum) {
        add(row, sum);
        sum[columns] += 1;
    });
    if (r.exchange != nullptr && *r.exchange) {
        (*r.exchange)(std::span<double>(to));
    }
    return to;
}

// y = weight x + bias; y may be x.
template <class T>
void scale_and_shift(const T* x, const T* __restrict__ weight, const T* __restrict__ bias, Index columns,
                     T* y) {
    for (Index c = 0; c < columns; ++c) {
        y[c] = weight[c] * x[c] + bias[c];
    }
}

// Inputs x, weight, bias, running mean, running variance, batches; outputs y, normalised x,
// s [1 x columns], next running mean, next running variance, next batches.
class BatchNorm : public OpOf<BatchNorm> {
public:
    explicit BatchNorm(const BatchNormOptions& options) : options_(options) {}
    [[nodiscard]] std::string_view name() const override { return "batch_norm"; }
    [[nodiscard]] bool exchanges() const override { return options_.training; }

    template <class T>
    void execute(Run<T>& r) const {
        // Of the input: where only the statistics are wanted there are no outputs.
        const Index columns = r.in_columns(0);
        const Index rows = r.in_rows(0);
        // Kept from step to step: a training step allocates nothing.
        thread_local std::vector<double> sums;
        if (options_.training) {
            batch_sums(r, r.inputs[0].extent, 2 * columns, sums,
                       [columns, all = r.in(0)](Index row, double* __restrict__ sum) {
                           const T* __restrict__ x = all + row * columns;
                           double* __restrict__ squares = sum + columns;
                           for (Index c = 0; c < columns; ++c) {
                               const auto value = static_cast<double>(x[c]);
                               sum[c] += value;
                               squares[c] += value * value;
                           }
                       });
        }
        const double count = options_.training ? sums.back() : 1;
        thread_local std::vector<double> scales; // mean and s of every column
        scales.resize(static_cast<std::size_t>(2 * columns));
        double* means = scales.data();
        double* factors = means + columns;
        for (Index c = 0; c < columns; ++c) {
            double mean = 0;
            double variance = 0;
            if (options_.training) {
                const auto i = static_cast<std::size_t>(c);
                mean = sums[i] / count;
                variance = std::max(0.0, sums[i + static_cast<std::size_t>(columns)] / count - mean * mean);
                if (r.commits_state && r.has_out(3)) {
                    const double unbiased = variance * count / std::max(1.0, count - 1);
                    const double keep = 1 - options_.momentum;
                    r.out(3)[c] =
                        static_cast<T>(keep * static_cast<double>(r.in(3)[c]) + options_.momentum * mean);
                    r.out(4)[c] =
                        static_cast<T>(keep * static_cast<double>(r.in(4)[c]) + options_.momentum * unbiased);
                }
            } else {
                mean = static_cast<double>(r.in(3)[c]);
                variance = static_cast<double>(r.in(4)[c]);
            }
            const double s = 1 / std::sqrt(variance + options_.eps);
            if (r.has_out(2)) {
                r.out(2)[c] = static_cast<T>(s);
            }
            means[c] = mean;
            factors[c] = s;
        }
        for (Index row = 0; row < rows; ++row) {
            const T* __restrict__ x = r.in(0) + row * columns;
            T* y = r.has_out(0) ? r.out(0) + row * columns : nullptr;
            T* normal = r.has_out(1) ? r.out(1) + row * columns : y;
            for (Index c = 0; normal != nullptr && c < columns; ++c) {
                normal[c] = static_cast<T>((static_cast<double>(x[c]) - means[c]) * factors[c]);
            }
            if (y != nullptr) {
                scale_and_shift(normal, r.in(1), r.in(2), columns, y);
            }
        }
        if (options_.training && r.commits_state && r.has_out(5)) {
            r.out(5)[0] = r.in(5)[0] + T(1);
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        const Index columns = r.in_columns(0);
        const Index width = 2 * columns + 1;
        const double* sums = nullptr;
        Index lanes = 1;
        if (options_.training) {
            const kernels::LaneRows rows = r.lanes(r.input(0).extent);
            auto* partial = r.memory->template scratch<double>(rows.lanes * width);
            const kernels::LaneSums<double, kernels::BatchMomentLeaf<T>, 32> leaves{
                rows, width, {r.in(0), columns}, partial};
            r.list->team(leaves.blocks(), leaves);
            sums = partial;
            lanes = rows.lanes;
            if (!r.alone) { // over all devices, as one lane
                auto* total = r.memory->template scratch<double>(width);
                r.list->each(width, kernels::LaneTotals<double, kernels::PutTotal<double>>{
                                        partial, lanes, width, {total}});
                r.list->exchange(total, width);
                sums = total;
                lanes = 1;
            }
        }
        auto* scale = r.memory->template scratch<double>(2 * columns);
        const auto state = [&](int i) {
            return options_.training && r.commits_state && r.has_out(i) ? r.out(i) : nullptr;
        };
        r.list->each(columns, kernels::BatchNormColumn<T>{
                                  sums, lanes, r.in(3), r.in(4), r.in(5), options_.eps, options_.momentum,
                                  columns, scale, r.has_out(2) ? r.out(2) : nullptr, state(3),
                                  state(3) == nullptr ? nullptr : r.out(4), state(5)});
        if (r.has_out(0) || r.has_out(1)) {
            r.numbers(r.input(0), kernels::BatchNormNumbers<T>{r.in(0), r.in(1), r.in(2), scale, columns,
                                                               r.has_out(0) ? r.out(0) : nullptr,
                                                               r.has_out(1) ? r.out(1) : nullptr});
        }
    }
    void reverse(Reverse& r) const override;

private:
    BatchNormOptions options_;
};

// Inputs dy, normalised x, s, weight; outputs dx[, gradient of weight, gradient of bias].
class BatchNormBackward : public OpOf<BatchNormBackward> {
public:
    explicit BatchNormBackward(bool training) : training_(training) {}
    [[nodiscard]] std::string_view name() const override { return "batch_norm_backward"; }
    [[nodiscard]] bool exchanges() const override { return training_; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index columns = r.in_columns(0);
        const Index rows = r.in_rows(0);
        thread_local std::vector<double> sums;
        sums.resize(static_cast<std::size_t>(2 * columns + 1));
        const auto lanes = r.lanes(r.inputs[0].extent);
        // Sums of every lane: the tree over all lanes of the batch starts from them, and, rounded per lane,
        // so do the parameters' gradients, which the reduction of gradients adds to other parts'.
        const auto width = static_cast<std::size_t>(2 * columns + 1);
        thread_local std::vector<double> lane_sums;
        lane_sums.assign((lanes.size() - 1) * width, 0.0);
        for (std::size_t l = 0; l + 1 < lanes.size(); ++l) {
            double* __restrict__ sum = lane_sums.data() + l * width;
            double* __restrict__ products = sum + columns;
            for (Index row = lanes[l]; row < lanes[l + 1]; ++row) {
                const T* __restrict__ dy = r.in(0) + row * columns;
                const T* __restrict__ normal = r.in(1) + row * columns;
                for (Index c = 0; c < columns; ++c) {
                    const auto d = static_cast<double>(dy[c]);
                    sum[c] += d;
                    products[c] += d * static_cast<double>(normal[c]);
                }
            }
            sum[2 * columns] = static_cast<double>(lanes[l + 1] - lanes[l]);
        }
        const double* next = lane_sums.data();
        lane_tree<double>(lanes, 2 * columns + 1, sums.data(), false, *r.sums,
                          [&](Index, Index, double* leaf) {
                              std::copy_n(next, width, leaf);
                              next += width;
                          });
        for (int p = 1; p <= 2; ++p) {
            const double* sum = lane_sums.data() + (p == 2 ? 0 : columns);
            lane_tree<T>(lanes, columns, r.out(p), false, *r.scratch, [&](Index, Index, T* leaf) {
                for (Index c = 0; c < columns; ++c) {
                    leaf[c] = static_cast<T>(sum[c]);
                }
                sum += width;
            });
        }
        if (training_ && r.exchange != nullptr && *r.exchange) {
            (*r.exchange)(std::span<double>(sums));
        }
        if (!r.has_out(0)) {
            return;
        }
        const double count = sums.back();
        for (Index c = 0; c < 2 * columns; ++c) { // now means
            sums[static_cast<std::size_t>(c)] = training_ ? sums[static_cast<std::size_t>(c)] / count : 0;
        }
        const double* __restrict__ mean = sums.data();
        const double* __restrict__ product = mean + columns;
        thread_local std::vector<double> factors;
        factors.resize(static_cast<std::size_t>(columns));
        for (Index c = 0; c < columns; ++c) {
            factors[static_cast<std::size_t>(c)] =
                static_cast<double>(r.in(3)[c]) * static_cast<double>(r.in(2)[c]);
        }
        const double* __restrict__ factor = factors.data();
        for (Index row = 0; row < rows; ++row) {
            const T* __restrict__ dy = r.in(0) + row * columns;
            const T* __restrict__ normal = r.in(1) + row * columns;
            T* __restrict__ dx = r.out(0) + row * columns;
            for (Index c = 0; c < columns; ++c) {
                dx[c] = static_cast<T>(factor[c] * (static_cast<double>(dy[c]) - mean[c] -
                                                    static_cast<double>(normal[c]) * product[c]));
            }
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        const Index columns = r.in_columns(0);
        const Index width = 2 * columns + 1;
        const kernels::LaneRows lanes = r.lanes(r.input(0).extent);
        auto* partial = r.memory->template scratch<double>(lanes.lanes * width);
        auto* sums = r.memory->template scratch<double>(width);
        const kernels::LaneSums<double, kernels::BatchGradientLeaf<T>, 32> leaves{
            lanes, width, {r.in(0), r.in(1), columns}, partial};
        r.list->team(leaves.blocks(), leaves);
        r.list->each(
            width, kernels::BatchGradientTotals<T>{partial, lanes.lanes, columns, sums, r.out(1), r.out(2)});
        if (training_ && !r.alone) {
            r.list->exchange(sums, width);
        }
        if (r.has_out(0)) {
            r.numbers(r.output(0),
                      kernels::BatchNormBackwardNumbers<T>{r.in(0), r.in(1), r.in(2), r.in(3),
                                                           training_ ? sums : nullptr, columns, r.out(0)});
        }
    }

private:
    bool training_;
};

void BatchNorm::reverse(Reverse& r) const {
    Builder& b = r.builder();
    const ValueInfo x = b.info(r.in(0));
    const WeightView all{0, 0, 1, 1, x.columns};
    const Value weight_gradient = b.parameter_gradient(r.in(1), {all});
    const Value bias_gradient = b.parameter_gradient(r.in(2), {all});
    const Value dx = b.append_all(std::make_shared<BatchNormBackward>(options_.training),
                                  {r.gradient(0), r.out(1), r.out(2), r.in(1)}, {{x.extent, x.columns}})
                         .front();
    b.program().nodes.back().out = {dx, weight_gradient, bias_gradient};
    if (r.wants(0)) {
        r.add(0, dx);
    }
}

} // namespace

Value batch_norm(Builder& b, Value x, Value weight, Value bias, const BatchNormState& state,
                 const BatchNormOptions& options) {
    const ValueInfo i = b.info(x);
    for (const Value v : {weight, bias, state.mean, state.variance}) {
        check(b.info(v).columns == i.columns, "batch_norm: {} columns, {} in {}", i.columns,
              b.info(v).columns, b.info(v).name);
    }
    const Value y = b.append_all(std::make_shared<BatchNorm>(options),
                                 {x, weight, bias, state.mean, state.variance, state.count},
                                 {{i.extent, i.columns}, {i.extent, i.columns}, {{Axis::one, 1}, i.columns}})
                        .front();
    if (options.training) {
        const Value mean = b.next_state(state.mean);
        const Value variance = b.next_state(state.variance);
        const Value count = b.next_state(state.count);
        auto& out = b.program().nodes.back().out;
        out.insert(out.end(), {mean, variance, count});
    }
    return y;
}

} // namespace tether::ops
