#include "tether/ops/times.hpp"

#include "tether/core/error.hpp"
#include "tether/kernels/times.hpp"

#include <algorithm>
#include <memory>

namespace tether::ops {
namespace {

class MixTimes : public OpOf<MixTimes> {
public:
    explicit MixTimes(const TimeMap& map) : map_(map) {}
    [[nodiscard]] std::string_view name() const override { return "mix_times"; }
    [[nodiscard]] bool rows_on_devices() const override { return true; } // all times of a row
    template <class T>
    void execute(Run<T>& r) const {
        const Index rows = r.in_rows(0) / r.inputs[0].extent.times;
        const Index width = r.in_columns(0) * r.inputs[0].extent.times / map_.from;
        for (Index row = 0; row < rows; ++row) {
            const T* x = r.in(0) + row * map_.from * width;
            T* y = r.out(0) + row * map_.to * width;
            const double* entry = map_.entries.data();
            for (Index k = 0; k < map_.to; ++k) {
                T* __restrict__ to = y + k * width;
                bool first = true;
                for (Index t = 0; t < map_.from; ++t) {
                    if (const T factor = static_cast<T>(*entry++); factor != T(0)) {
                        add(factor, x + t * width, map_.differences && t > 0 ? x : nullptr, width, first, to);
                        first = false;
                    }
                }
                if (first) {
                    std::fill_n(to, width, T(0));
                }
            }
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        std::vector<std::int32_t> begin{0};
        std::vector<kernels::TimeEntry<T>> entries;
        for (Index k = 0; k < map_.to; ++k) {
            for (Index t = 0; t < map_.from; ++t) {
                const T factor = static_cast<T>(map_.entries[static_cast<std::size_t>(k * map_.from + t)]);
                if (factor != T(0)) {
                    entries.push_back({static_cast<std::int32_t>(t), factor});
                }
            }
            begin.push_back(static_cast<std::int32_t>(entries.size()));
        }
        const auto& x = r.input(0);
        const Index width = x.columns * x.extent.times / map_.from;
        r.wide_numbers(
            {x.extent.axis, 1}, x.capacity / x.extent.times, map_.to * width,
            kernels::MixTimesNumbers<T>{r.in(0), r.memory->constants(std::span<const std::int32_t>(begin)),
                                        r.memory->constants(std::span<const kernels::TimeEntry<T>>(entries)),
                                        map_.differences, r.out(0), map_.from, map_.to, width});
    }
    void reverse(Reverse& r) const override {
        TimeMap back{map_.from, map_.to, std::vector<double>(map_.entries.size())};
        for (Index k = 0; k < map_.to; ++k) {
            double off_first = 0;
            for (Index t = map_.from; t-- > 0;) {
                const double entry = map_.entries[static_cast<std::size_t>(k * map_.from + t)];
                back.entries[static_cast<std::size_t>(t * map_.to + k)] = t > 0 ? entry : entry - off_first;
                off_first += map_.differences ? entry : 0;
            }
        }
        r.add(0, mix_times(r.builder(), r.gradient(0), back, r.builder().info(r.in(0)).extent.times));
    }
    [[nodiscard]] double flop(const Run<float>& r) const override {
        return 2.0 * static_cast<double>(r.in_rows(0) * r.in_columns(0) * map_.to);
    }

private:
    // to (+)= factor · (from - origin)
    template <class T>
    static void add(T factor, const T* __restrict__ from, const T* __restrict__ origin, Index width,
                    bool first, T* __restrict__ to) {
        if (origin != nullptr && first) {
            for (Index c = 0; c < width; ++c) {
                to[c] = factor * (from[c] - origin[c]);
            }
        } else if (origin != nullptr) {
            for (Index c = 0; c < width; ++c) {
                to[c] += factor * (from[c] - origin[c]);
            }
        } else if (first) {
            for (Index c = 0; c < width; ++c) {
                to[c] = factor * from[c];
            }
        } else {
            for (Index c = 0; c < width; ++c) {
                to[c] += factor * from[c];
            }
        }
    }
    TimeMap map_;
};

class TimeColumns : public OpOf<TimeColumns> {
public:
    TimeColumns(Index times, std::vector<double> table) : times_(times), table_(std::move(table)) {}
    [[nodiscard]] std::string_view name() const override { return "with_time_columns"; }
    [[nodiscard]] bool rows_on_devices() const override { return true; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index given = r.in_columns(0);
        const Index columns = r.out_columns(0);
        for (Index row = 0; row < r.out_rows(0); ++row) {
            T* to = r.out(0) + row * columns;
            const double* constants = table_.data() + (row % times_) * (columns - given);
            std::copy_n(r.in(0) + row / times_ * given, given, to);
            for (Index c = given; c < columns; ++c) {
                to[c] = static_cast<T>(constants[c - given]);
            }
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        const std::vector<T> table(table_.begin(), table_.end());
        r.numbers(r.output(0),
                  kernels::TimeColumnsNumbers<T>{r.in(0), r.memory->constants(std::span<const T>(table)),
                                                 r.out(0), times_, r.in_columns(0), r.out_columns(0)});
    }
    void reverse(Reverse& r) const override {
        // The sum over times of the given columns.
        const ValueInfo x = r.builder().info(r.in(0));
        const Index all = r.builder().info(r.out(0)).columns;
        TimeMap back{x.columns, all * times_,
                     std::vector<double>(static_cast<std::size_t>(x.columns * all * times_))};
        for (Index c = 0; c < x.columns; ++c) {
            for (Index t = 0; t < times_; ++t) {
                back.entries[static_cast<std::size_t>(c * all * times_ + t * all + c)] = 1;
            }
        }
        r.add(0, mix_times(r.builder(), r.gradient(0), back, x.extent.times));
    }

private:
    Index times_;
    std::vector<double> table_;
};

} // namespace

Value mix_times(Builder& b, Value x, const TimeMap& map, Index out_times) {
    const ValueInfo i = b.info(x);
    const Index numbers = i.columns * i.extent.times; // of one node or edge
    check(i.extent.axis != Axis::one, "mix_times: rows of the batch expected, {} is one row", i.name);
    check(map.from > 0 && map.to > 0 && static_cast<Index>(map.entries.size()) == map.from * map.to,
          "mix_times: {} entries for a map from {} to {} parts", map.entries.size(), map.from, map.to);
    check(numbers % map.from == 0, "mix_times: {} times of {} columns do not make {} equal parts",
          i.extent.times, i.columns, map.from);
    const Index out = numbers / map.from * map.to;
    check(out_times > 0 && out % out_times == 0, "mix_times: {} numbers do not make {} times", out,
          out_times);
    return b.append(std::make_shared<MixTimes>(map), {x}, {i.extent.axis, out_times}, out / out_times);
}

Value repeat_times(Builder& b, Value x, Index times) {
    check(b.info(x).extent.times == 1, "repeat_times: rows of one time expected, found {}",
          b.info(x).extent.times);
    return mix_times(b, x, {times, 1, std::vector<double>(static_cast<std::size_t>(times), 1.0)}, times);
}

Value last_times(Builder& b, Value x, Index count) {
    const Index times = b.info(x).extent.times;
    check(count >= 1 && count <= times, "last_times: {} of {} times", count, times);
    TimeMap map{count, times, std::vector<double>(static_cast<std::size_t>(count * times), 0.0)};
    for (Index k = 0; k < count; ++k) {
        map.entries[static_cast<std::size_t>(k * times + times - count + k)] = 1;
    }
    return mix_times(b, x, map, count);
}

Value with_time_columns(Builder& b, Value x, Index times, const std::vector<double>& table) {
    const ValueInfo i = b.info(x);
    check(i.extent.times == 1 && i.extent.axis != Axis::one,
          "with_time_columns: rows of one time of the batch expected, found {}", i.extent.times);
    check(times > 0 && !table.empty() && static_cast<Index>(table.size()) % times == 0,
          "with_time_columns: a table of {} numbers for {} times", table.size(), times);
    return b.append(std::make_shared<TimeColumns>(times, table), {x}, {i.extent.axis, times},
                    i.columns + static_cast<Index>(table.size()) / times);
}

} // namespace tether::ops
