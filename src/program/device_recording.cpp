// How a program becomes lists of launches: stages into waves, chains into one launch each, gradients of
// weights into buckets (device_executor.hpp).
#include "tether/kernels/elementwise.hpp"
#include "tether/kernels/row_steps.hpp"
#include "tether/kernels/update.hpp"
#include "tether/program/arena.hpp"
#include "tether/program/device_executor.hpp"
#include "tether/program/device_program.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

namespace tether {
namespace {

using Range = std::pair<Index, Index>;

// Which parts of the gradient are whole: several nodes may write different numbers of one weight, and then
// all of them must have been.
class ReadyRanges {
public:
    explicit ReadyRanges(const std::vector<std::vector<Range>>& of_nodes) : parts_of_(of_nodes.size()) {
        std::vector<std::pair<Range, std::size_t>> all;
        for (std::size_t n = 0; n < of_nodes.size(); ++n) {
            for (const Range& r : of_nodes[n]) {
                all.emplace_back(r, n);
            }
        }
        std::ranges::sort(all);
        for (const auto& [r, n] : all) {
            if (parts_.empty() || r.first >= parts_.back().range.second) {
                parts_.push_back({r, 0});
            }
            Part& part = parts_.back();
            part.range.second = std::max(part.range.second, r.second);
            ++part.missing;
            parts_of_[n].push_back(parts_.size() - 1);
        }
    }
    void made(std::size_t node) {
        for (const std::size_t p : parts_of_[node]) {
            if (--parts_[p].missing == 0) {
                ready_.push_back(parts_[p].range);
            }
        }
    }
    // Those that became whole since the last call, touching ones joined.
    std::vector<Range> take() {
        std::ranges::sort(ready_);
        std::vector<Range> joined;
        for (const Range& r : ready_) {
            if (!joined.empty() && r.first == joined.back().second) {
                joined.back().second = r.second;
            } else {
                joined.push_back(r);
            }
        }
        ready_.clear();
        return joined;
    }

private:
    struct Part {
        Range range;
        int missing;
    };
    std::vector<Part> parts_;
    std::vector<std::vector<std::size_t>> parts_of_; // per node
    std::vector<Range> ready_;
};

} // namespace

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
    alone_ = writes_gradients_alone(program_);
    work_ = work_of_nodes();
    std::vector<DeviceStage> stages = device_stages(program_, work_, 0, program_.part_nodes);
    const std::size_t part_stages = stages.size();
    std::ranges::move(device_stages(program_, work_, program_.part_nodes, program_.nodes.size()),
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
std::vector<device::Launch>
DeviceExecutor<T>::launches_of(std::size_t n, DeviceMemory& memory, DeferredSums<T>* deferred,
                               std::vector<kernels::RowProduct<T>>* products) const {
    static T somewhere = 0; // for launches that are never run
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
            operands.push_back(
                {memory.dry() ? &somewhere : pointer(v), rows * i.extent.times, i.columns, i.extent});
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
    r.alone = environment_.alone;
    r.precision = environment_.precision;
    r.inputs = {operands.data(), node.in.size()};
    r.outputs = {operands.data() + node.in.size(), node.out.size()};
    r.deferred = deferred;
    r.row_products = products;
    node.op->launch(r);
    return list.take();
}

// Found out by recording every node once, for nothing but the shapes of its launches.
template <class T>
std::vector<DeviceWork> DeviceExecutor<T>::work_of_nodes() const {
    std::vector<DeviceWork> work;
    DeviceMemory nothing(backend_, true);
    DeferredSums<T> deferred;
    for (std::size_t n = 0; n < program_.nodes.size(); ++n) {
        std::vector<kernels::RowProduct<T>> products;
        const std::vector<device::Launch> launches = launches_of(n, nothing, alone_[n] ? &deferred : nullptr,
                                                                 products_by_rows() ? &products : nullptr);
        const auto exchanges = [](const device::Launch& l) {
            return l.shape == device::Launch::Shape::exchange;
        };
        // Others may be read or written again, by whom a chain does not see.
        const bool intermediates = std::ranges::all_of(program_.nodes[n].out, [&](Value v) {
            return !v.valid() || program_.info(v).kind == ValueKind::intermediate;
        });
        const auto by_rows = [](const device::Launch& l) { return kernels::row_step<T>(l).has_value(); };
        if (!products.empty()) {
            check(intermediates, "{}: a product into what is no intermediate value",
                  program_.nodes[n].op->name());
            work.push_back(DeviceWork::row_product);
        } else if (alone_[n] && launches.empty()) {
            work.push_back(DeviceWork::later);
        } else if (std::ranges::any_of(launches, exchanges)) {
            work.push_back(DeviceWork::sums);
        } else if (launches.size() == 1 && kernels::is_product<T>(launches.front())) {
            work.push_back(DeviceWork::product);
        } else if (program_.nodes[n].op->rows_on_devices() && intermediates && !launches.empty() &&
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
    buckets_.clear();
    memory_.begin();
    DeferredSums<T> deferred;
    ReadyRanges ready(gradient_ranges());
    const std::vector<std::vector<std::size_t>> waiting = waiting_by_stage(stages, part_stages);
    Index left = 0; // nodes that wait
    for (const std::vector<std::size_t>& nodes : waiting) {
        left += std::ssize(nodes);
    }
    for (std::size_t s = 0; s < stages.size(); ++s) {
        memory_.next_stage();
        std::vector<device::LaunchList> branches;
        for (const std::vector<std::size_t>& branch : stages[s].branches) {
            const std::size_t front = branch.front();
            if (work_[front] == DeviceWork::later) {
                continue;
            }
            const bool alone = branch.size() == 1 && work_[front] != DeviceWork::row_product;
            branches.emplace_back().append(
                alone ? launches_of(front, memory_, alone_[front] ? &deferred : nullptr) : chain(branch));
            for (const std::size_t n : branch) {
                ready.made(n);
            }
        }
        if (s == 0) {
            branches.emplace_back().append_wave(environment_.ahead);
        }
        append_side_by_side(branches);
        if (s >= part_stages) {
            continue;
        }
        for (const std::size_t n : waiting[s]) {
            (void)launches_of(n, memory_, &deferred);
            ready.made(n);
            --left;
        }
        if (s + 1 == part_stages) {
            record_end_of_part(deferred);
        } else if (environment_.bucket_elements > 0 && deferred.elements >= environment_.bucket_elements &&
                   left > 0) {
            Bucket& bucket = buckets_.emplace_back();
            bucket.after = list_.size();
            bucket.ranges = ready.take();
            record_gradients(deferred, bucket.list);
            deferred = {};
        }
    }
    if (stages.empty()) {
        list_.append_wave(environment_.ahead);
    }
    if (part_stages == 0) {
        record_end_of_part(deferred);
    }
    record_stored();
    if (part_stages == stages.size()) {
        part_end_ = list_.size();
    }
}

// Per node of the part, where the gradients lie that it writes.
template <class T>
auto DeviceExecutor<T>::gradient_ranges() const -> std::vector<std::vector<Range>> {
    std::vector<std::vector<Range>> ranges(program_.nodes.size());
    for (std::size_t n = 0; n < program_.part_nodes; ++n) {
        for (const Value v : program_.nodes[n].out) {
            const bool gradient = v.valid() && (program_.info(v).kind == ValueKind::gradient ||
                                                program_.info(v).kind == ValueKind::extra_gradient);
            if (gradient) {
                const ValueInfo& i = program_.info(v);
                const Index begin = pointer(v) - environment_.gradient;
                ranges[n].emplace_back(begin, begin + i.columns * i.extent.times);
            }
        }
    }
    return ranges;
}

// Per stage of the part, the nodes whose sums wait and can be made as soon as it is over.
template <class T>
std::vector<std::vector<std::size_t>>
DeviceExecutor<T>::waiting_by_stage(const std::vector<DeviceStage>& stages, std::size_t part_stages) const {
    std::map<int, std::size_t> made_in; // value -> stage
    for (std::size_t s = 0; s < part_stages; ++s) {
        for (const std::vector<std::size_t>& branch : stages[s].branches) {
            for (const std::size_t n : branch) {
                for (const Value v : program_.nodes[n].out) {
                    made_in[v.id] = s;
                }
            }
        }
    }
    std::vector<std::vector<std::size_t>> waiting(part_stages);
    for (std::size_t n = 0; n < program_.part_nodes; ++n) {
        std::size_t stage = 0;
        for (const Value v : program_.nodes[n].in) {
            const auto found = made_in.find(v.id);
            stage = std::max(stage, found == made_in.end() ? 0 : found->second);
        }
        if (work_[n] == DeviceWork::later) {
            waiting[stage].push_back(n);
        }
    }
    return waiting;
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

// What waited: gradients of weights, plain sums, totals of both, each at once; what needs neither goes beside
// the totals.
template <class T>
void DeviceExecutor<T>::record_gradients(DeferredSums<T>& deferred, device::LaunchList& list,
                                         std::vector<device::Launch> beside_totals) {
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
    list.append_wave(together.take());
    together.name("totals");
    together.each(
        deferred.elements,
        kernels::PlacedTotals<T>{memory_.constants(std::span<const kernels::TotalPlace<T>>(deferred.places)),
                                 static_cast<Index>(deferred.places.size()), batch_.lanes});
    together.append(std::move(beside_totals));
    list.append_wave(together.take());
}

template <class T>
void DeviceExecutor<T>::record_end_of_part(DeferredSums<T>& deferred) {
    device::LaunchList together;
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
    record_gradients(deferred, list_, together.take());
    part_end_ = list_.size();
}

template void DeviceExecutor<float>::record();
template void DeviceExecutor<double>::record();

} // namespace tether
