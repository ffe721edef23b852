// See device_executor.hpp.
#include "tether/program/device_executor.hpp"

#include "tether/core/error.hpp"
#include "tether/program/device_program.hpp"

#include <algorithm>
#include <iterator>
#include <span>
#include <utility>

namespace tether {
namespace {

constexpr std::size_t node_axis = static_cast<std::size_t>(Axis::node);
constexpr std::size_t edge_axis = static_cast<std::size_t>(Axis::edge);
constexpr std::size_t graph_axis = static_cast<std::size_t>(Axis::graph);

} // namespace

// One block of memory: lane borders, topology, fields, each at its own place; two on the host, used in turn,
// so that the next batch can be put together while the last one is copied.
template <class T>
struct DeviceExecutor<T>::Layout {
    explicit Layout(device::Backend& b) : backend(b) {}
    ~Layout() { release(); }
    Layout(const Layout&) = delete;
    Layout& operator=(const Layout&) = delete;

    void release() {
        for (std::byte*& s : staging) {
            if (s != nullptr) {
                backend.release_staging(s);
            }
            s = nullptr;
        }
    }
    template <class X>
    std::size_t take(Index count) {
        const std::size_t at = bytes;
        bytes += (static_cast<std::size_t>(count) * sizeof(X) + 255) / 256 * 256;
        return at;
    }
    void plan(const Program& program, Index lanes, const std::array<Index, axis_count>& rows) {
        bytes = 0;
        for (std::size_t& at : lane_begin) {
            at = take<Index>(lanes + 1);
        }
        const std::array<Index, 7> entries{rows[edge_axis],     rows[edge_axis],     rows[node_axis] + 1,
                                           rows[edge_axis],     rows[node_axis] + 1, rows[node_axis],
                                           rows[graph_axis] + 1};
        for (std::size_t i = 0; i < entries.size(); ++i) {
            topology[i] = take<std::int32_t>(entries[i]);
        }
        field.assign(program.fields.size(), 0);
        for (const ValueInfo& v : program.values) {
            if (v.kind == ValueKind::input) {
                field[static_cast<std::size_t>(v.offset)] =
                    take<T>(rows[static_cast<std::size_t>(v.extent.axis)] * v.extent.times * v.columns);
            }
        }
        release();
        for (std::byte*& s : staging) {
            s = static_cast<std::byte*>(backend.allocate_staging(bytes));
        }
    }
    template <class X>
    void put(std::size_t at, const std::vector<X>& values) {
        std::ranges::copy(std::as_bytes(std::span(values)), staging[turn] + at);
    }

    device::Backend& backend;
    std::size_t bytes = 0;
    std::array<std::size_t, axis_count> lane_begin{};
    std::array<std::size_t, 7> topology{}; // in the order of Topology
    std::vector<std::size_t> field;
    std::array<std::byte*, 2> staging{};
    std::size_t turn = 0;
};

template <class T>
DeviceExecutor<T>::DeviceExecutor(const Program& program, device::Backend& backend,
                                  const DeviceEnvironment<T>& environment)
    : program_(device_program(program)), backend_(backend), environment_(environment),
      layout_(std::make_unique<Layout>(backend)), memory_(backend), arena_(backend), part_(backend) {}

template <class T>
DeviceExecutor<T>::~DeviceExecutor() = default;

template <class T>
void DeviceExecutor<T>::reserve(Index lanes, const std::array<Index, axis_count>& rows) {
    bool fits = batch_.lanes == lanes;
    for (std::size_t a = 0; a < rows.size(); ++a) {
        fits = fits && rows[a] <= batch_.capacity[a];
        batch_.capacity[a] = std::max({batch_.capacity[a], rows[a], Index{1}});
    }
    if (fits) {
        return;
    }
    batch_.lanes = lanes;
    backend_.synchronise(); // nothing of the old list may still run
    layout_->plan(program_, lanes, batch_.capacity);
    part_.require(static_cast<Index>(layout_->bytes));
    std::byte* base = part_.data();
    for (std::size_t a = 0; a < batch_.lane_begin.size(); ++a) {
        batch_.lane_begin[a] = reinterpret_cast<const Index*>(base + layout_->lane_begin[a]);
    }
    const auto table = [&](std::size_t i) {
        return reinterpret_cast<const std::int32_t*>(base + layout_->topology[i]);
    };
    batch_.topology = {table(0), table(1), table(2), table(3), table(4), table(5), table(6)};
    batch_.field.clear();
    for (const std::size_t at : layout_->field) {
        batch_.field.push_back(reinterpret_cast<const T*>(base + at));
    }
    record();
}

template <class T>
void DeviceExecutor<T>::load(const BatchPart<T>& part) {
    std::array<Index, axis_count> rows{};
    for (std::size_t a = 0; a < rows.size(); ++a) {
        rows[a] = part.rows(static_cast<Axis>(a));
    }
    for (const Node& node : program_.nodes) {
        node.op->check_batch(part.topology);
    }
    reserve(part.lanes, rows);
    rows_ = rows;
    Layout& l = *layout_;
    l.turn = 1 - l.turn;
    backend_.await(l.staging[l.turn]);
    for (std::size_t a = 0; a < l.lane_begin.size(); ++a) {
        l.put(l.lane_begin[a], part.lane_begin[a]);
    }
    const Topology& t = part.topology;
    const std::array<const std::vector<std::int32_t>*, 7> tables{
        &t.sender,       &t.receiver,      &t.receiver_begin, &t.by_sender,
        &t.sender_begin, &t.graph_of_node, &t.node_begin};
    for (std::size_t i = 0; i < tables.size(); ++i) {
        l.put(l.topology[i], *tables[i]);
    }
    for (std::size_t i = 0; i < l.field.size(); ++i) {
        l.put(l.field[i], part.field[i]);
    }
    backend_.to_device(part_.data(), l.staging[l.turn], l.bytes);
}

template <class T>
T* DeviceExecutor<T>::pointer(Value v) const {
    const ValueInfo& i = program_.info(v);
    const DeviceEnvironment<T>& e = environment_;
    // Inputs are never written: operations get them through the const accessor DeviceRun::in.
    switch (i.kind) {
    case ValueKind::input: return const_cast<T*>(batch_.field[static_cast<std::size_t>(i.offset)]);
    case ValueKind::parameter: return const_cast<T*>(e.parameters) + i.offset;
    case ValueKind::gradient: return e.gradient + i.offset;
    case ValueKind::extra_gradient: return e.extra_gradient + i.offset;
    case ValueKind::total: return e.sums + i.offset;
    case ValueKind::state: return const_cast<T*>(e.state) + i.offset;
    case ValueKind::next_state: return e.next_state + i.offset;
    case ValueKind::control: return const_cast<T*>(e.control) + i.offset;
    case ValueKind::intermediate: return arena_.data() + place_[static_cast<std::size_t>(v.id)];
    }
    return nullptr;
}

template <class T>
void DeviceExecutor<T>::run_nodes(std::size_t first, std::size_t last, const device::DeviceExchange& exchange,
                                  const Ready& ready) {
    const auto is_border = [&](std::size_t nodes) {
        return nodes == 0 || nodes == program_.part_nodes || nodes == program_.nodes.size();
    };
    check(is_border(first) && is_border(last),
          "nodes {} to {} of a program on a device: it runs whole, or up to the border of its part", first,
          last);
    std::size_t at = first == 0 ? 0 : part_end_;
    if (first == 0) {
        for (const Bucket& bucket : buckets_) {
            backend_.run(list_, at, bucket.after, exchange);
            at = bucket.after;
            backend_.beside([&](void*) {
                backend_.run(bucket.list, 0, bucket.list.size(), {});
                if (ready) {
                    ready(bucket.ranges);
                }
            });
        }
        backend_.run(list_, at, part_end_, exchange);
        at = part_end_;
        backend_.meet();
    }
    if (last == program_.nodes.size()) {
        backend_.run(list_, at, list_.size(), exchange);
    }
}

template <class T>
std::vector<const device::LaunchList*> DeviceExecutor<T>::lists() const {
    std::vector<const device::LaunchList*> all{&list_};
    for (const Bucket& bucket : buckets_) {
        all.push_back(&bucket.list);
    }
    return all;
}

template <class T>
std::vector<T> DeviceExecutor<T>::value(Value v) const {
    const ValueInfo& i = program_.info(v);
    const Index rows = i.extent.axis == Axis::one ? 1 : rows_[static_cast<std::size_t>(i.extent.axis)];
    std::vector<T> values(static_cast<std::size_t>(rows * i.extent.times * i.columns));
    if (!values.empty()) {
        backend_.to_host(values.data(), pointer(v), values.size() * sizeof(T));
    }
    return values;
}

template <class T>
double DeviceExecutor<T>::flop() const {
    double total = 0;
    for (std::size_t n = 0; n < program_.nodes.size(); ++n) {
        total += node_flop(program_, n, rows_);
    }
    return total;
}

template class DeviceExecutor<float>;
template class DeviceExecutor<double>;

} // namespace tether
