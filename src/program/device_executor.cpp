// See device_executor.hpp.
#include "tether/program/device_executor.hpp"

#include "tether/core/error.hpp"
#include "tether/kernels/elementwise.hpp"
#include "tether/kernels/sequence.hpp"
#include "tether/kernels/update.hpp"
#include "tether/program/arena.hpp"
#include "tether/program/device_program.hpp"

#include <algorithm>
#include <iterator>
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
        std::memcpy(staging[turn] + at, values.data(), values.size() * sizeof(X));
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
void DeviceExecutor<T>::record() {
    ++recordings_;
    const std::size_t values = program_.values.size();
    std::vector<Index> size(values, 0);
    for (std::size_t v = 0; v < values; ++v) {
        const ValueInfo& i = program_.values[v];
        size[v] = arena_aligned(
            std::max<Index>(
                1,
                (i.extent.axis == Axis::one ? 1 : batch_.capacity[static_cast<std::size_t>(i.extent.axis)]) *
                    i.extent.times) *
            i.columns);
    }
    place_.assign(values, -1);
    const std::vector<DeviceWork> work = work_of_nodes();
    std::vector<DeviceStage> stages = device_stages(program_, work, 0, program_.part_nodes);
    const std::size_t part_stages = stages.size();
    std::ranges::move(device_stages(program_, work, program_.part_nodes, program_.nodes.size()),
                      std::back_inserter(stages));
    std::vector<std::vector<std::size_t>> units;
    for (const DeviceStage& stage : stages) {
        units.emplace_back();
        for (const std::vector<std::size_t>& branch : stage.branches) {
            units.back().insert(units.back().end(), branch.begin(), branch.end());
        }
    }
    arena_.require(assign_places(
        program_, units, [](std::size_t) { return true; }, size, place_));
    record_stages(stages, part_stages);
    if (memory_.settle()) {
        record_stages(stages, part_stages);
    }
}

template <class T>
std::vector<device::Launch> DeviceExecutor<T>::launches_of(std::size_t n, DeviceMemory& memory,
                                                           DeferredSums<T>* deferred) const {
    const Node& node = program_.nodes[n];
    std::vector<typename DeviceRun<T>::Operand> operands;
    for (const auto* list : {&node.in, &node.out}) {
        for (const Value v : *list) {
            if (!v.valid()) {
                operands.push_back({});
                continue;
            }
            const ValueInfo& i = program_.info(v);
            const Index rows =
                i.extent.axis == Axis::one ? 1 : batch_.capacity[static_cast<std::size_t>(i.extent.axis)];
            operands.push_back({pointer(v), rows * i.extent.times, i.columns, i.extent});
        }
    }
    device::LaunchList list;
    list.name(std::string(node.op->name()));
    DeviceRun<T> r;
    r.batch = &batch_;
    r.list = &list;
    r.memory = &memory;
    r.parameters = environment_.parameters;
    r.commits_state = environment_.commits_state;
    r.precision = environment_.precision;
    r.inputs = {operands.data(), node.in.size()};
    r.outputs = {operands.data() + node.in.size(), node.out.size()};
    r.deferred = deferred;
    node.op->launch(r);
    return list.take();
}

// Found out by recording every node once, for nothing but the shapes of its launches.
template <class T>
std::vector<DeviceWork> DeviceExecutor<T>::work_of_nodes() const {
    std::vector<DeviceWork> work;
    DeviceMemory nothing(backend_, true);
    DeferredSums<T> deferred;
    const std::vector<bool> waits = writes_gradients_alone(program_);
    for (std::size_t n = 0; n < program_.nodes.size(); ++n) {
        const std::vector<device::Launch> launches = launches_of(n, nothing, waits[n] ? &deferred : nullptr);
        const auto exchanges = [](const device::Launch& l) {
            return l.shape == device::Launch::Shape::exchange;
        };
        const auto by_rows = [](const device::Launch& l) { return kernels::sequence_step<T>(l).has_value(); };
        if (waits[n] && launches.empty()) {
            work.push_back(DeviceWork::later);
        } else if (std::ranges::any_of(launches, exchanges)) {
            work.push_back(DeviceWork::sums);
        } else if (launches.size() == 1 && kernels::is_product<T>(launches.front())) {
            work.push_back(DeviceWork::product);
        } else if (program_.nodes[n].op->tiling() == Tiling::rows && !launches.empty() &&
                   std::ranges::all_of(launches, by_rows)) {
            const bool elementwise = std::ranges::all_of(launches, &device::Launch::elementwise);
            work.push_back(elementwise ? DeviceWork::elementwise : DeviceWork::rows);
        } else {
            work.push_back(DeviceWork::own);
        }
    }
    return work;
}

template <class T>
void DeviceExecutor<T>::record_stages(const std::vector<DeviceStage>& stages, std::size_t part_stages) {
    list_.clear();
    memory_.begin();
    DeferredSums<T> deferred;
    const std::vector<bool> waits = writes_gradients_alone(program_);
    for (std::size_t s = 0; s < stages.size(); ++s) {
        memory_.next_stage();
        std::vector<device::LaunchList> branches;
        for (const std::vector<std::size_t>& branch : stages[s].branches) {
            std::vector<device::Launch> launches;
            for (const std::size_t n : branch) {
                std::ranges::move(launches_of(n, memory_, waits[n] ? &deferred : nullptr),
                                  std::back_inserter(launches));
            }
            branches.emplace_back().append(branch.size() > 1 ? as_one(launches) : std::move(launches));
        }
        append_side_by_side(branches);
        if (s + 1 == part_stages) {
            record_end_of_part(deferred);
        }
    }
    if (part_stages == 0) {
        record_end_of_part(deferred);
    }
    record_stored();
    if (part_stages == stages.size()) {
        part_end_ = list_.size();
    }
}

template <class T>
void DeviceExecutor<T>::record_stored() {
    device::LaunchList together;
    together.name("stored");
    for (const auto& [v, to] : environment_.stored) {
        together.each(1, kernels::StoreNumbers<T>{pointer(v), nullptr, to});
    }
    list_.append_wave(together.take());
}

// The first waves of all branches, then the second ones, and so on.
template <class T>
void DeviceExecutor<T>::append_side_by_side(const std::vector<device::LaunchList>& branches) {
    std::vector<std::size_t> done(branches.size(), 0);
    std::vector<device::Launch> wave;
    do {
        wave.clear();
        for (std::size_t b = 0; b < branches.size(); ++b) {
            const device::LaunchList& list = branches[b];
            if (done[b] < list.size()) {
                const std::size_t end = list.wave_end(done[b], list.size());
                const auto begin = list.launches().begin();
                wave.insert(wave.end(), begin + static_cast<std::ptrdiff_t>(done[b]),
                            begin + static_cast<std::ptrdiff_t>(end));
                done[b] = end;
            }
        }
        list_.append_wave(wave);
    } while (!wave.empty());
}

// The launches of a chain.
template <class T>
std::vector<device::Launch> DeviceExecutor<T>::as_one(const std::vector<device::Launch>& launches) {
    const bool product = kernels::is_product<T>(launches.front());
    std::vector<kernels::SequenceStep> steps;
    Index most_items = 0;
    std::string name;
    for (std::size_t i = 0; i < launches.size(); ++i) {
        name += (i == 0 ? "" : " + ") + launches[i].name;
        if (i > 0 || !product) {
            steps.push_back(*kernels::sequence_step<T>(launches[i]));
            most_items = std::max(most_items, launches[i].row_items);
        }
    }
    const auto count = static_cast<Index>(steps.size());
    const auto* table = memory_.constants(std::span<const kernels::SequenceStep>(steps));
    device::LaunchList list;
    list.name(std::move(name));
    if (product) {
        kernels::append_product_then<T>(list, launches.front(), table, count);
    } else {
        kernels::append_sequence<T>(list, launches.front(), table, count, most_items);
    }
    return list.take();
}

// What waited for the nodes of the part: gradients of weights, plain sums, totals of both, each at once.
template <class T>
void DeviceExecutor<T>::record_end_of_part(DeferredSums<T>& deferred) {
    std::ranges::stable_sort(deferred.products, std::ranges::greater{}, &DeferredSums<T>::Product::work);
    std::vector<kernels::GradientPiece<T>> products;
    for (const auto& product : deferred.products) {
        products.push_back(product.piece);
    }
    device::LaunchList together;
    together.name("weight_gradients");
    DeviceRun<T>::launch(together, memory_, batch_.lanes, products, environment_.precision);
    together.name("gradient_sums");
    DeviceRun<T>::launch(together, memory_, batch_.lanes, deferred.sums);
    list_.append_wave(together.take());
    together.name("totals");
    together.each(
        deferred.elements,
        kernels::PlacedTotals<T>{memory_.constants(std::span<const kernels::TotalPlace<T>>(deferred.places)),
                                 static_cast<Index>(deferred.places.size()), batch_.lanes});
    together.name("unwritten");
    for (const auto& [begin, end] : program_.unwritten) {
        together.each(end - begin, kernels::SetNumbers<T>{environment_.gradient + begin, T(0)});
    }
    together.name("sums");
    T* to = environment_.sums;
    for (const auto& [name, v] : program_.sums) {
        together.each(program_.info(v).columns, kernels::CopyNumbers<T>{pointer(v), to});
        to += program_.info(v).columns;
    }
    list_.append_wave(together.take());
    part_end_ = list_.size();
}

template <class T>
void DeviceExecutor<T>::run_nodes(std::size_t first, std::size_t last,
                                  const device::DeviceExchange& exchange) {
    const auto end_of = [&](std::size_t nodes) {
        if (nodes == 0) {
            return std::size_t{0};
        }
        check(nodes == program_.part_nodes || nodes == program_.nodes.size(),
              "nodes {} to {} of a program on a device: it runs whole, or up to the border of its part",
              first, last);
        return nodes == program_.part_nodes ? part_end_ : list_.size();
    };
    backend_.run(list_, end_of(first), end_of(last), exchange);
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
