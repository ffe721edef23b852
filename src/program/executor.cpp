#include "tether/program/executor.hpp"

#include "tether/core/error.hpp"
#include "tether/device/gemm.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>

namespace tether {
namespace {

constexpr Index alignment = 16; // elements: whole cache lines for float

Index aligned(Index n) { return (n + alignment - 1) / alignment * alignment; }

// First-fit allocation of arena intervals in node order.
class Intervals {
public:
    Index take(Index size) {
        for (auto it = free_.begin(); it != free_.end(); ++it) {
            if (it->second >= size) {
                const Index at = it->first;
                const Index left = it->second - size;
                free_.erase(it);
                if (left > 0) {
                    free_[at + size] = left;
                }
                return at;
            }
        }
        const Index at = end_;
        end_ += size;
        return at;
    }
    void give(Index at, Index size) {
        auto next = free_.lower_bound(at);
        if (next != free_.end() && at + size == next->first) {
            size += next->second;
            next = free_.erase(next);
        }
        if (next != free_.begin()) {
            auto before = std::prev(next);
            if (before->first + before->second == at) {
                before->second += size;
                return;
            }
        }
        free_[at] = size;
    }
    [[nodiscard]] Index end() const { return end_; }

private:
    std::map<Index, Index> free_;
    Index end_ = 0;
};

} // namespace

template <class T>
std::vector<Index> PackedWeights<T>::offsets(const Program& program) {
    std::vector<Index> offset;
    Index total = 0;
    for (const WeightView& v : program.packed) {
        offset.push_back(total);
        total += aligned(device::packed_size<T>(v.k, v.n));
    }
    offset.push_back(total);
    return offset;
}

template <class T>
PackedWeights<T>::PackedWeights(const Program& program) : views_(program.packed), offset_(offsets(program)) {
    buffer_.resize(static_cast<std::size_t>(offset_.back()));
}

template <class T>
void PackedWeights<T>::renew(const T* parameters, int part, int parts) {
    const Index total = offset_.back();
    for (std::size_t i = 0; i < views_.size(); ++i) {
        if (offset_[i] * parts / std::max<Index>(total, 1) == part) {
            const WeightView& v = views_[i];
            device::pack(parameters + v.offset, v.k_stride, v.n_stride, v.k, v.n,
                         buffer_.data() + offset_[i]);
        }
    }
}

template <class T>
HostExecutor<T>::HostExecutor(const Program& program, Checking checking)
    : program_(program), checking_(checking) {
    std::size_t at = 0;
    for (const Node& n : program_.nodes) {
        spans_.push_back({at, at + n.in.size(), at + n.in.size() + n.out.size()});
        at = spans_.back()[2];
    }
    operands_.resize(at);
    packed_offset_ = PackedWeights<T>::offsets(program_);
}

template <class T>
void HostExecutor<T>::plan(const BatchPart<T>& batch) {
    bool fits = !place_.empty();
    for (int a = 0; a < axis_count; ++a) {
        const Index rows = batch.rows(static_cast<Axis>(a));
        if (rows > capacity_[static_cast<std::size_t>(a)]) {
            capacity_[static_cast<std::size_t>(a)] = rows;
            fits = false;
        }
    }
    if (fits) {
        return;
    }
    ++allocations_;
    const std::size_t values = program_.values.size();
    std::vector<std::size_t> last(values, 0);
    for (std::size_t n = 0; n < program_.nodes.size(); ++n) {
        for (const Value v : program_.nodes[n].in) {
            last[static_cast<std::size_t>(v.id)] = n;
        }
        for (const Value v : program_.nodes[n].out) {
            if (v.valid()) {
                last[static_cast<std::size_t>(v.id)] = std::max(last[static_cast<std::size_t>(v.id)], n);
            }
        }
    }
    for (const auto& [name, v] : program_.outputs) {
        last[static_cast<std::size_t>(v.id)] = program_.nodes.size();
    }
    place_.assign(values, -1);
    dies_after_.assign(program_.nodes.size(), {});
    std::vector<Index> size(values, 0);
    for (std::size_t v = 0; v < values; ++v) {
        const ValueInfo& i = program_.values[v];
        if (i.kind == ValueKind::intermediate) {
            size[v] = aligned(
                std::max<Index>(1, capacity_[static_cast<std::size_t>(i.extent.axis)] * i.extent.times) *
                i.columns);
        }
    }
    Intervals intervals;
    for (std::size_t n = 0; n < program_.nodes.size(); ++n) {
        const Node& node = program_.nodes[n];
        for (const Value v : node.out) {
            if (v.valid() && program_.info(v).kind == ValueKind::intermediate &&
                place_[static_cast<std::size_t>(v.id)] < 0) {
                place_[static_cast<std::size_t>(v.id)] = intervals.take(size[static_cast<std::size_t>(v.id)]);
            }
        }
        std::vector<int> ends;
        for (const auto& list : {node.in, node.out}) {
            for (const Value v : list) {
                if (v.valid() && program_.info(v).kind == ValueKind::intermediate &&
                    last[static_cast<std::size_t>(v.id)] == n &&
                    std::ranges::find(ends, v.id) == ends.end()) {
                    ends.push_back(v.id);
                }
            }
        }
        for (const int v : ends) {
            intervals.give(place_[static_cast<std::size_t>(v)], size[static_cast<std::size_t>(v)]);
        }
        dies_after_[n] = std::move(ends);
    }
    arena_.assign(static_cast<std::size_t>(intervals.end()), T(0));
}

template <class T>
void HostExecutor<T>::bind(const BatchPart<T>& batch, const Environment<T>& e) {
    const auto pointer = [&](const ValueInfo& i, int id) -> T* {
        // Inputs are never written: operations get them through the const accessor Run::in.
        switch (i.kind) {
        case ValueKind::input: return const_cast<T*>(batch.field[static_cast<std::size_t>(i.offset)].data());
        case ValueKind::parameter: return const_cast<T*>(e.parameters) + i.offset;
        case ValueKind::gradient: return e.gradient + i.offset;
        case ValueKind::extra_gradient: return e.extra_gradient + i.offset;
        case ValueKind::state: return const_cast<T*>(e.state) + i.offset;
        case ValueKind::next_state: return e.next_state + i.offset;
        case ValueKind::control: return const_cast<T*>(e.control) + i.offset;
        case ValueKind::intermediate: return arena_.data() + place_[static_cast<std::size_t>(id)];
        }
        return nullptr;
    };
    std::size_t at = 0;
    for (const Node& node : program_.nodes) {
        for (const auto* list : {&node.in, &node.out}) {
            for (const Value v : *list) {
                auto& operand = operands_[at++];
                if (!v.valid()) {
                    operand = {};
                    continue;
                }
                const ValueInfo& i = program_.info(v);
                operand = {pointer(i, v.id),
                           i.extent.axis == Axis::one ? i.extent.times : batch.rows(i.extent), i.columns,
                           i.extent};
            }
        }
    }
}

template <class T>
void HostExecutor<T>::run(const BatchPart<T>& batch, const Environment<T>& environment) {
    run_nodes(batch, environment, 0, program_.nodes.size());
}

template <class T>
void HostExecutor<T>::run_nodes(const BatchPart<T>& batch, const Environment<T>& environment,
                                std::size_t first, std::size_t last) {
    plan(batch);
    bind(batch, environment);
    Run<T> r;
    r.batch = &batch;
    r.packed = environment.packed;
    r.packed_offset = packed_offset_;
    r.exchange = environment.exchange;
    r.commits_state = environment.commits_state;
    r.scratch = &scratch_;
    r.sums = &sums_;
    r.lane_scratch = &lane_scratch_;
    for (std::size_t n = first; n < last; ++n) {
        const auto& [in, out, end] = spans_[n];
        r.inputs = {operands_.data() + in, out - in};
        r.outputs = {operands_.data() + out, end - out};
        if (profiling_) {
            const auto start = std::chrono::steady_clock::now();
            program_.nodes[n].op->run(r);
            node_seconds_[n] +=
                std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
            ++node_runs_[n];
        } else {
            program_.nodes[n].op->run(r);
        }
        if (checking_ == Checking::debug) {
            check_node(n);
            for (const int v : dies_after_[n]) {
                const ValueInfo& i = program_.values[static_cast<std::size_t>(v)];
                std::fill_n(arena_.begin() + place_[static_cast<std::size_t>(v)],
                            batch.rows(i.extent) * i.columns, std::numeric_limits<T>::quiet_NaN());
            }
        }
    }
}

template <class T>
void HostExecutor<T>::check_node(std::size_t n) const {
    const auto& [in, out, end] = spans_[n];
    for (std::size_t o = out; o < end; ++o) {
        const auto& operand = operands_[o];
        for (Index k = 0; operand.data != nullptr && k < operand.rows * operand.columns; ++k) {
            check(std::isfinite(operand.data[k]), ExitCode::numbers,
                  "node {} ({}), output {}, row {}, column {}: found {}, expected a finite number", n,
                  program_.nodes[n].op->name(), o - out, k / operand.columns, k % operand.columns,
                  operand.data[k]);
        }
    }
}

template <class T>
std::span<const T> HostExecutor<T>::value(Value v) const {
    for (std::size_t n = program_.nodes.size(); n-- > 0;) {
        const auto& [in, out, end] = spans_[n];
        const Node& node = program_.nodes[n];
        for (std::size_t o = 0; o < node.out.size(); ++o) {
            if (node.out[o] == v) {
                const auto& operand = operands_[out + o];
                return {operand.data, static_cast<std::size_t>(operand.rows * operand.columns)};
            }
        }
    }
    fail(ExitCode::usage, "value {} is not computed by this program", v.id);
}

template <class T>
std::span<const T> HostExecutor<T>::output(const std::string& name) const {
    const auto found = program_.outputs.find(name);
    check(found != program_.outputs.end(), "the program has no output {}", name);
    return value(found->second);
}

template <class T>
void HostExecutor<T>::copy_sums(T* to) const {
    for (const auto& [name, v] : program_.sums) {
        const T* from = arena_.data() + place_[static_cast<std::size_t>(v.id)];
        to = std::copy(from, from + program_.info(v).columns, to);
    }
}

template <class T>
double HostExecutor<T>::node_flop(std::size_t n) const {
    const auto& [in, out, end] = spans_[n];
    std::vector<Run<float>::Operand> operands;
    for (std::size_t o = in; o < end; ++o) {
        operands.push_back({nullptr, operands_[o].rows, operands_[o].columns, operands_[o].extent});
    }
    Run<float> r;
    r.inputs = {operands.data(), out - in};
    r.outputs = {operands.data() + (out - in), end - out};
    return program_.nodes[n].op->flop(r);
}

template <class T>
double HostExecutor<T>::flop() const {
    double total = 0;
    for (std::size_t n = 0; n < program_.nodes.size(); ++n) {
        total += node_flop(n);
    }
    return total;
}

template <class T>
void HostExecutor<T>::profile(bool on) {
    profiling_ = on;
    node_seconds_.assign(program_.nodes.size(), 0.0);
    node_runs_.assign(program_.nodes.size(), 0);
}

template <class T>
std::vector<typename HostExecutor<T>::NodeTime> HostExecutor<T>::node_times() const {
    std::vector<NodeTime> times;
    for (std::size_t n = 0; n < node_seconds_.size(); ++n) {
        const auto& [in, out, end] = spans_[n];
        const auto& first = operands_[out < end && operands_[out].rows > 1 ? out : in];
        times.push_back(
            {fmt::format("{} [{} x {}] -> {}", program_.nodes[n].op->name(), first.rows,
                         operands_[in < out ? in : out].columns, operands_[out < end ? out : in].columns),
             node_seconds_[n], node_flop(n), node_runs_[n]});
    }
    return times;
}

template class PackedWeights<float>;
template class PackedWeights<double>;
template class HostExecutor<float>;
template class HostExecutor<double>;

} // namespace tether
