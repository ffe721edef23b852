// Operations that move columns: slices, concatenation, permutations, constants (ops/elementwise.hpp).
#include "tether/core/error.hpp"
#include "tether/kernels/elementwise.hpp"
#include "tether/ops/elementwise.hpp"

#include <algorithm>
#include <memory>

namespace tether::ops {
namespace {

// Copies columns [from, from + count) of the input to [to, to + count) of the output, zero elsewhere.
class CopyColumns : public OpOf<CopyColumns> {
public:
    CopyColumns(Index from, Index to, Index count) : from_(from), to_(to), count_(count) {}
    [[nodiscard]] std::string_view name() const override { return "copy_columns"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index in = r.in_columns(0);
        const Index out = r.out_columns(0);
        for (Index row = 0; row < r.out_rows(0); ++row) {
            T* to = r.out(0) + row * out;
            std::fill(to, to + to_, T(0));
            std::copy_n(r.in(0) + row * in + from_, count_, to + to_);
            std::fill(to + to_ + count_, to + out, T(0));
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.numbers(r.output(0), kernels::CopyColumnsNumbers<T>{r.in(0), r.out(0), r.in_columns(0),
                                                              r.out_columns(0), from_, to_, count_});
    }
    void reverse(Reverse& r) const override {
        Builder& b = r.builder();
        const Index columns = b.info(r.in(0)).columns;
        r.add(0, b.append(std::make_shared<CopyColumns>(to_, from_, count_), {r.gradient(0)},
                          b.info(r.in(0)).extent, columns));
    }

private:
    Index from_, to_, count_;
};

class Permute : public OpOf<Permute> {
public:
    explicit Permute(std::vector<Index> order) : order_(std::move(order)) {}
    [[nodiscard]] std::string_view name() const override { return "permute"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        const auto columns = static_cast<Index>(order_.size());
        for (Index row = 0; row < r.out_rows(0); ++row) {
            for (Index c = 0; c < columns; ++c) {
                r.out(0)[row * columns + c] = r.in(0)[row * columns + order_[static_cast<std::size_t>(c)]];
            }
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        const Index* order = r.memory->constants(std::span<const Index>(order_));
        r.numbers(r.output(0), kernels::PermuteNumbers<T>{r.in(0), order, r.out(0), r.out_columns(0)});
    }
    void reverse(Reverse& r) const override {
        std::vector<Index> back(order_.size());
        for (std::size_t c = 0; c < order_.size(); ++c) {
            back[static_cast<std::size_t>(order_[c])] = static_cast<Index>(c);
        }
        r.add(0, permute(r.builder(), r.gradient(0), back));
    }

private:
    std::vector<Index> order_;
};

class Concatenate : public OpOf<Concatenate> {
public:
    [[nodiscard]] std::string_view name() const override { return "concatenate"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index out = r.out_columns(0);
        Index first = 0;
        for (const auto& x : r.inputs) {
            for (Index row = 0; row < x.rows; ++row) {
                std::copy_n(x.data + row * x.columns, x.columns, r.out(0) + row * out + first);
            }
            first += x.columns;
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        std::vector<kernels::ColumnPlace<T>> places;
        for (const auto& x : r.inputs) {
            for (Index c = 0; c < x.columns; ++c) {
                places.push_back({x.data + c, x.columns});
            }
        }
        r.numbers(r.output(0), kernels::ConcatenateNumbers<T>{
                                   r.memory->constants(std::span<const kernels::ColumnPlace<T>>(places)),
                                   r.out(0), r.out_columns(0)});
    }
    void reverse(Reverse& r) const override {
        Index first = 0;
        for (int i = 0; i < r.inputs(); ++i) {
            const Index count = r.builder().info(r.in(i)).columns;
            if (r.wants(i)) {
                r.add(i, slice(r.builder(), r.gradient(0), first, count));
            }
            first += count;
        }
    }
};

class SetColumn : public OpOf<SetColumn> {
public:
    SetColumn(Index column, double value) : column_(column), value_(value) {}
    [[nodiscard]] std::string_view name() const override { return "set_column"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index columns = r.out_columns(0);
        std::copy_n(r.in(0), r.out_rows(0) * columns, r.out(0));
        for (Index row = 0; row < r.out_rows(0); ++row) {
            r.out(0)[row * columns + column_] = static_cast<T>(value_);
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.numbers(r.output(0), kernels::SetColumnNumbers<T>{r.in(0), r.out(0), r.out_columns(0), column_,
                                                            static_cast<T>(value_)});
    }
    void reverse(Reverse& r) const override { r.add(0, set_column(r.builder(), r.gradient(0), column_, 0)); }

private:
    Index column_;
    double value_;
};

} // namespace

Value slice(Builder& b, Value x, Index first, Index count) {
    check(first >= 0 && count >= 0 && first + count <= b.info(x).columns, "slice: columns {} to {} of {}",
          first, first + count, b.info(x).columns);
    return b.append(std::make_shared<CopyColumns>(first, Index{0}, count), {x}, b.info(x).extent, count);
}

Value place(Builder& b, Value x, Index first, Index columns) {
    const Index count = b.info(x).columns;
    check(first >= 0 && first + count <= columns, "place: {} columns at {} of {}", count, first, columns);
    return b.append(std::make_shared<CopyColumns>(Index{0}, first, count), {x}, b.info(x).extent, columns);
}

Value concatenate(Builder& b, const std::vector<Value>& values) {
    check(!values.empty(), "concatenate: nothing to concatenate");
    Index columns = 0;
    for (const Value v : values) {
        check(b.info(v).extent == b.info(values.front()).extent, "concatenate: different extents");
        columns += b.info(v).columns;
    }
    return b.append(std::make_shared<Concatenate>(), values, b.info(values.front()).extent, columns);
}

Value permute(Builder& b, Value x, const std::vector<Index>& order) {
    std::vector<Index> sorted = order;
    std::ranges::sort(sorted);
    for (std::size_t c = 0; c < sorted.size(); ++c) {
        check(sorted[c] == static_cast<Index>(c), "permute: the order is no permutation");
    }
    check(static_cast<Index>(order.size()) == b.info(x).columns, "permute: order of {} for {} columns",
          order.size(), b.info(x).columns);
    return b.append(std::make_shared<Permute>(order), {x}, b.info(x).extent, b.info(x).columns);
}

Value set_column(Builder& b, Value x, Index column, double value) {
    check(column >= 0 && column < b.info(x).columns, "set_column: column {} of {}", column,
          b.info(x).columns);
    return b.append(std::make_shared<SetColumn>(column, value), {x}, b.info(x).extent, b.info(x).columns);
}

} // namespace tether::ops
