#include "tether/program/executor.hpp"

#include "tether/core/error.hpp"
#include "tether/device/gemm.hpp"
#include "tether/program/arena.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

namespace tether {
template <class T>
std::vector<Index> PackedWeights<T>::offsets(const Program& program) {
    std::vector<Index> offset;
    Index total = 0;
    for (const WeightView& v : program.packed) {
        offset.push_back(total);
        total += arena_aligned(device::packed_size<T>(v.k, v.n));
    }
    offset.push_back(total);
    return offset;
}

template <class T>
PackedWeights<T>::PackedWeights(const Program& program, std::span<T> memory)
    : views_(program.packed), offset_(offsets(program)), packed_(memory) {
    const auto size = static_cast<std::size_t>(offset_.back());
    if (memory.empty()) {
        own_.resize(size);
        packed_ = own_;
    }
    check(packed_.size() == size, "packed weights: room for {} numbers, expected {}", packed_.size(), size);
}

template <class T>
void PackedWeights<T>::renew(const T* parameters, int part, int parts) {
    const Index total = offset_.back();
    for (std::size_t i = 0; i < views_.size(); ++i) {
        if (offset_[i] * parts / std::max<Index>(total, 1) == part) {
            const WeightView& v = views_[i];
            device::pack(parameters + v.offset, v.k_stride, v.n_stride, v.k, v.n,
                         packed_.data() + offset_[i]);
        }
    }
}

template <class T>
HostExecutor<T>::HostExecutor(const Program& program, Checking checking, Index tile_rows)
    : program_(program), checking_(checking), tile_rows_(checking == Checking::debug ? 0 : tile_rows),
      groups_(schedule(program, tile_rows_ > 0)), local_(program.values.size(), false) {
    partial_.resize(program_.nodes.size());
    sums_.resize(program_.nodes.size(), false);
    for (const NodeGroup& group : groups_) {
        for (const int v : group.local) {
            local_[static_cast<std::size_t>(v)] = true;
        }
        for (const std::size_t n : group.sums) {
            sums_[n] = true;
        }
    }
    std::size_t at = 0;
    for (const Node& n : program_.nodes) {
        spans_.push_back({at, at + n.in.size(), at + n.in.size() + n.out.size()});
        at = spans_.back()[2];
    }
    operands_.resize(at);
    for (const Node& n : program_.nodes) {
        for (const auto* list : {&n.in, &n.out}) {
            for (const Value v : *list) {
                operand_local_.push_back(v.valid() && local_[static_cast<std::size_t>(v.id)]);
            }
        }
        tile_.resize(std::max(tile_.size(), n.in.size() + n.out.size()));
    }
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
    std::vector<Index> size(values, 0);
    for (std::size_t v = 0; v < values; ++v) {
        const ValueInfo& i = program_.values[v];
        if (i.kind == ValueKind::intermediate) {
            const Index rows = capacity_[static_cast<std::size_t>(i.extent.axis)] * i.extent.times;
            size[v] = arena_aligned((local_[v] ? std::min(rows, std::max(tile_rows_, i.extent.times))
                                               : std::max<Index>(1, rows)) *
                                    i.columns);
        }
    }
    place_.assign(values, -1);
    std::vector<std::vector<std::size_t>> units;
    for (const NodeGroup& group : groups_) {
        units.push_back(group.nodes);
    }
    const auto whole = [&](std::size_t v) { return !local_[v]; };
    const Index end = assign_places(program_, units, whole, size, place_, &dies_after_);
    // All groups use the same memory for their tiles.
    Index tiles = 0;
    for (const NodeGroup& group : groups_) {
        units.clear();
        for (const std::size_t n : group.nodes) {
            units.push_back({n});
        }
        const auto local = [&](std::size_t v) { return static_cast<bool>(local_[v]); };
        tiles = std::max(tiles, assign_places(program_, units, local, size, place_, nullptr));
    }
    for (std::size_t v = 0; v < values; ++v) {
        place_[v] += local_[v] ? end : 0;
    }
    arena_.assign(static_cast<std::size_t>(end + tiles), T(0));
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
        case ValueKind::total: return const_cast<T*>(e.totals) + i.offset;
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
    for (std::size_t a = 0; a < rows_.size(); ++a) {
        rows_[a] = batch.rows(static_cast<Axis>(a));
    }
    Run<T> r;
    r.batch = &batch;
    r.packed = environment.packed;
    r.packed_offset = packed_offset_;
    r.exchange = environment.exchange;
    r.parallel = environment.parallel;
    r.commits_state = environment.commits_state;
    r.scratch = &scratch_;
    r.sums = &double_sums_;
    r.lane_scratch = &lane_scratch_;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
        const NodeGroup& group = groups_[g];
        const auto inside =
            std::ranges::count_if(group.nodes, [&](std::size_t n) { return first <= n && n < last; });
        if (inside == 0) {
            continue;
        }
        check(static_cast<std::size_t>(inside) == group.nodes.size(),
              "nodes {} to {} of a program: a group of its schedule lies half inside", first, last);
        if (group.tiled) {
            run_tiles(group, r);
            continue;
        }
        for (const std::size_t n : group.nodes) {
            const auto& [in, out, end] = spans_[n];
            r.inputs = {operands_.data() + in, out - in};
            r.outputs = {operands_.data() + out, end - out};
            r.partial = &partial_[n];
            run_node(n, r);
        }
        if (checking_ == Checking::debug) {
            check_node(group.nodes.front());
            for (const int v : dies_after_[g]) {
                const ValueInfo& i = program_.values[static_cast<std::size_t>(v)];
                std::fill_n(arena_.begin() + place_[static_cast<std::size_t>(v)],
                            batch.rows(i.extent) * i.columns, std::numeric_limits<T>::quiet_NaN());
            }
        }
    }
}

template <class T>
void HostExecutor<T>::run_node(std::size_t n, Run<T>& r) {
    if (profiling_) {
        const auto start = std::chrono::steady_clock::now();
        program_.nodes[n].op->run(r);
        node_seconds_[n] += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        node_runs_[n] += r.tile.lane == 0 && r.tile.begins ? 1 : 0;
    } else {
        program_.nodes[n].op->run(r);
    }
}

template <class T>
void HostExecutor<T>::run_tiles(const NodeGroup& group, Run<T>& r) {
    const std::vector<Index>& lane_begin = r.batch->lane_begin[static_cast<std::size_t>(group.extent.axis)];
    r.tile.lanes = static_cast<Index>(lane_begin.size()) - 1;
    const Index times = group.extent.times;
    const Index most = std::max<Index>(1, tile_rows_ / times);
    for (r.tile.lane = 0; r.tile.lane < r.tile.lanes; ++r.tile.lane) {
        const Index begin = lane_begin[static_cast<std::size_t>(r.tile.lane)];
        const Index items = lane_begin[static_cast<std::size_t>(r.tile.lane + 1)] - begin;
        // Nearly equal tiles, none of them a sliver.
        const Index tiles = std::max<Index>(1, (items + most - 1) / most);
        for (Index t = 0; t < tiles; ++t) {
            const Index first = items * t / tiles;
            r.tile.first = (begin + first) * times;
            r.tile.begins = t == 0;
            r.tile.ends = t + 1 == tiles;
            run_tile(group, (items * (t + 1) / tiles - first) * times, r);
        }
    }
    r.tile = {};
    r.sums_tiles = false;
}

template <class T>
void HostExecutor<T>::run_tile(const NodeGroup& group, Index rows, Run<T>& r) {
    for (const std::size_t n : group.nodes) {
        const auto& [in, out, end] = spans_[n];
        for (std::size_t o = in; o < end; ++o) {
            typename Run<T>::Operand& operand = tile_[o - in];
            operand = operands_[o];
            if (operand.extent == group.extent && operand.data != nullptr) {
                operand.rows = rows;
                operand.data += operand_local_[o] ? 0 : r.tile.first * operand.columns;
            }
        }
        r.inputs = {tile_.data(), out - in};
        r.outputs = {tile_.data() + (out - in), end - out};
        r.sums_tiles = sums_[n];
        r.partial = &partial_[n];
        run_node(n, r);
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
    check(!local_[static_cast<std::size_t>(v.id)], "value {} lives within a tile only", v.id);
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
double HostExecutor<T>::flop() const {
    double total = 0;
    for (std::size_t n = 0; n < program_.nodes.size(); ++n) {
        total += node_flop(program_, n, rows_);
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
             node_seconds_[n], node_flop(program_, n, rows_), node_runs_[n]});
    }
    return times;
}

template class PackedWeights<float>;
template class PackedWeights<double>;
template class HostExecutor<float>;
template class HostExecutor<double>;

} // namespace tether
