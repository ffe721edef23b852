// See device_engine.hpp.
#include "tether/run/device_engine.hpp"

#include "src/run/device_control_block.hpp"
#include "src/run/lap.hpp"
#include "tether/core/error.hpp"
#include "tether/kernels/elementwise.hpp"
#include "tether/kernels/update.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace tether::run {
namespace {

// Numbers of a long vector that one block of threads adds up.
constexpr Index norm_part = 4096;

// put(norm of x[0..size)): parts of fixed size take the place of lanes, so the order depends on the size
// alone.
template <class T>
void append_norm(device::LaunchList& list, DeviceMemory& memory, const T* x, Index size, double* norm) {
    const auto parts = static_cast<Index>(
        std::bit_ceil(static_cast<std::uint64_t>(std::max<Index>(1, (size + norm_part - 1) / norm_part))));
    std::vector<Index> begin;
    for (Index p = 0; p <= parts; ++p) {
        begin.push_back(std::min(size, p * norm_part));
    }
    const kernels::LaneRows rows{memory.constants(std::span<const Index>(begin)), parts, 1};
    auto* partial = memory.scratch<double>(parts);
    const kernels::LaneSums<double, kernels::SquareLeaf<T>, 1> sums{rows, 1, {x}, partial};
    list.team(sums.blocks(), sums);
    list.each(1, kernels::LaneTotals<double, kernels::PutNorm>{partial, parts, 1, {norm}});
}

// Gradients that are made at once, beside the rest of the reverse pass: so many that their sums over the
// ranks are worth a message; of one rank, a quarter of all.
Index bucket_elements(Index trained, int ranks) {
    return ranks > 1 ? Index{1} << 18 : std::max<Index>(1, trained / 4);
}

// Leaves of `from` what is not in r, which lies within one of its ranges.
void take_out(const std::pair<Index, Index>& r, std::vector<std::pair<Index, Index>>& from) {
    const auto found =
        std::ranges::find_if(from, [&](const auto& f) { return f.first <= r.first && r.second <= f.second; });
    const auto [begin, end] = *found;
    const auto at = from.erase(found);
    std::vector<std::pair<Index, Index>> left;
    if (begin < r.first) {
        left.emplace_back(begin, r.first);
    }
    if (r.second < end) {
        left.emplace_back(r.second, end);
    }
    from.insert(at, left.begin(), left.end());
}

} // namespace

template <class T>
DeviceEngine<T>::DeviceEngine(const Network& network, const methods::Method& method,
                              const EngineSettings& settings, const parallel::LaneMap& lanes,
                              parallel::Communicator& communicator, device::Backend& backend)
    : Engine<T>(network, method, settings, lanes, communicator, Engine<T>::Memory::own), backend_(backend),
      parameters_(backend), reduced_(backend), state_on_device_(backend), next_state_(backend),
      first_(backend), second_(backend), results_(backend), memory_(backend) {
    const Program& program = network.training();
    const auto room = [](Index n) { return std::max<Index>(1, n); };
    parameters_.require(room(network.trained_size()));
    reduced_.require(room(length_));
    state_on_device_.require(room(network.states().size()));
    next_state_.require(room(network.states().size()));
    first_.require(static_cast<Index>(optimiser_.first_moment().size()));
    second_.require(static_cast<Index>(optimiser_.second_moment().size()));
    block_ = std::make_unique<DeviceControlBlock<T>>(backend, program.controls.size(), dgamma_.size(),
                                                     du_.size(), optimiser_.ranges().size());
    const Index added_at = 1 + program.sum_columns() + 1 + 3 * network.sites();
    results_.require(added_at + static_cast<Index>(added_losses_.size() + task_norm_.size()));
    results_on_host_ = static_cast<double*>(
        backend.allocate_staging(static_cast<std::size_t>(results_.size()) * sizeof(double)));
    std::vector<std::pair<Value, double*>> stored;
    for (const Value v : added_losses_) {
        stored.emplace_back(v, results_.data() + added_at + static_cast<Index>(stored.size()));
    }
    for (Index s = 0; s < network.sites(); ++s) {
        gates_.push_back(network.gate_offset(s));
        gate_states_.push_back(network.gate_state_offset(s));
        slacks_.push_back(network.slack_offset() + s);
    }
    T* gradient = reduced_.data();
    device::LaunchList ahead;
    // No node writes the gradient of a gate that the task loss does not reach.
    ahead.name("gate_gradients");
    for (Index s = 0; s < network.sites(); ++s) {
        if (gates_[static_cast<std::size_t>(s)] >= 0 && !network.gate_reached(s)) {
            ahead.each(1, kernels::SetNumbers<T>{gradient + gates_[static_cast<std::size_t>(s)], T(0)});
        }
    }
    ahead.name("stop");
    ahead.each(
        1, kernels::CopyNumbers<T>{block_->template on_device<T>(block_->stop_at), gradient + length_ - 1});
    executor_ = std::make_unique<DeviceExecutor<T>>(
        program, backend,
        DeviceEnvironment<T>{.parameters = parameters_.data(),
                             .gradient = gradient,
                             .extra_gradient = gradient + network.trained_size() + program.sum_columns(),
                             .sums = gradient + network.trained_size(),
                             .state = state_on_device_.data(),
                             .next_state = next_state_.data(),
                             .control = block_->template on_device<T>(block_->controls_at),
                             .commits_state = true,
                             .alone = communicator.size() == 1,
                             .precision = settings.precision,
                             .products_apart = settings.fills_devices,
                             .bucket_elements = bucket_elements(network.trained_size(), communicator.size()),
                             .ahead = ahead.take(),
                             .stored = std::move(stored)});
    sums_ = parallel::make_device_communicator(communicator, backend);
    order_ = settings.tree_order ? parallel::SumOrder::tree : parallel::SumOrder::fast;
    if (communicator.size() > 1) {
        exchange_ = {
            [this](double* values, Index count) { sums_->sum(values, count, parallel::SumOrder::tree); },
            sums_->in_graph()};
    }
    record();
}

template <class T>
DeviceEngine<T>::~DeviceEngine() {
    try {
        backend_.synchronise(); // nothing may still use the memory that is about to go
    } catch (const Error&) {    // a device that failed has been reported
    }
    backend_.release_staging(results_on_host_);
}

// Lists of the engine itself: the optimiser's step and what the host reads afterwards. The results are, in
// this order: norm of the gradient, sums over the batch, ranks that want to stop, gates, gates that are
// buffers, slacks, losses that the method added, norms of the tasks' gradients.
template <class T>
void DeviceEngine<T>::record() {
    const Program& program = network_.training();
    const Index n = network_.trained_size();
    T* gradient = reduced_.data();
    const auto sites = static_cast<Index>(gates_.size());
    const bool trained_gates = network_.policy().gate == methods::Gate::trained;
    do {
        after_.clear();
        tasks_.clear();
        memory_.begin();
        memory_.next_stage();
        record_task_norms();

        const DeviceControlBlock<T>& b = *block_;
        device::LaunchList together; // what does not wait for the update
        together.name("primal_terms");
        if (trained_gates) {
            together.each(sites,
                          kernels::AddTerms<T>{memory_.constants(std::span<const Index>(gates_)),
                                               b.template on_device<double>(b.dgamma_at), false, gradient});
            if (!du_.empty()) {
                together.each(sites,
                              kernels::AddTerms<T>{memory_.constants(std::span<const Index>(slacks_)),
                                                   b.template on_device<double>(b.du_at), true, gradient});
            }
        }
        together.name("state");
        together.each(network_.states().size(),
                      kernels::CopyNumbers<T>{next_state_.data(), state_on_device_.data()});
        together.name("results");
        double* to = results_.data() + 1;
        together.each(program.sum_columns(), kernels::StoreNumbers<T>{gradient + n, nullptr, to});
        to += program.sum_columns();
        together.each(1, kernels::StoreNumbers<T>{gradient + length_ - 1, nullptr, to});
        to += 1;
        after_.append_wave(together.take());
        after_.name("norm");
        append_norm(after_, memory_, static_cast<const T*>(gradient), n, results_.data());
        after_.name("optimiser");
        after_.each(n,
                    kernels::UpdateElements<T>{b.template on_device<Segment>(b.segments_at),
                                               b.template on_device<Index>(b.count_at), results_.data(),
                                               settings_.optimiser.clip_norm,
                                               settings_.optimiser.kind == optimise::OptimiserKind::adam,
                                               parameters_.data(), gradient, first_.data(), second_.data()});
        together.name("gates");
        if (sites > 0 && gates_.front() >= 0) {
            together.each(sites,
                          kernels::StoreNumbers<T>{parameters_.data(),
                                                   memory_.constants(std::span<const Index>(gates_)), to});
        }
        to += sites;
        if (sites > 0 && gate_states_.front() >= 0) {
            together.each(
                sites, kernels::StoreNumbers<T>{state_on_device_.data(),
                                                memory_.constants(std::span<const Index>(gate_states_)), to});
        }
        to += sites;
        if (!du_.empty()) {
            together.each(sites,
                          kernels::StoreNumbers<T>{parameters_.data(),
                                                   memory_.constants(std::span<const Index>(slacks_)), to});
        }
        after_.append_wave(together.take());
    } while (memory_.settle());
}

template <class T>
void DeviceEngine<T>::record_task_norms() {
    tasks_.name("task_norms");
    double* to = results_.data() + results_.size() - static_cast<Index>(task_norm_.size());
    for (std::size_t k = 0; k < task_norm_.size(); ++k) {
        const TaskGradient& g = network_.task_gradients()[k];
        append_norm(tasks_, memory_, static_cast<const T*>(reduced_.data()) + g.first, g.size, to + k);
    }
}

template <class T>
std::vector<const device::LaunchList*> DeviceEngine<T>::lists() const {
    std::vector<const device::LaunchList*> all = executor_->lists();
    all.insert(all.end(), {&tasks_, &after_});
    return all;
}

template <class T>
std::map<std::string, long> DeviceEngine<T>::launches() const {
    std::map<std::string, long> counts;
    for (const device::LaunchList* list : lists()) {
        for (const device::Launch& launch : list->launches()) {
            ++counts[launch.name];
        }
    }
    return counts;
}

template <class T>
DeviceSteps DeviceEngine<T>::stages() const {
    DeviceSteps all;
    for (const device::LaunchList* list : {&executor_->list(), &tasks_, &after_}) { // buckets: beside
        all.stages += static_cast<long>(list->waves());
        const device::LaunchSteps steps = list->steps();
        all.within = {all.within.levels + steps.levels, all.within.phases + steps.phases,
                      all.within.product_phases + steps.product_phases};
    }
    return all;
}

// Adds up the devices of all ranks: these numbers.
template <class T>
void DeviceEngine<T>::reduce(const std::vector<Range>& ranges) {
    if (communicator_.size() > 1) {
        for (const auto& [begin, end] : ranges) {
            sums_->sum(reduced_.data() + begin, end - begin, order_);
        }
    }
}

template <class T>
void DeviceEngine<T>::compute(const Fill& fill, double factor, const methods::Control& control) {
    times_ = {};
    LapClock::time_point clock = LapClock::now();
    const parallel::LaneRange mine = lanes_.mine();
    fill(mine.first, mine.count, part_);
    executor_->load(part_);
    DeviceControlBlock<T>& b = *block_;
    b.next();
    std::vector<T>& controls = transfer_;
    controls.resize(network_.training().controls.size());
    this->fill_controls(factor, control, controls);
    b.put(b.controls_at, std::span<const T>(controls));
    const T stop = stop_requested_ ? T(1) : T(0);
    b.put(b.stop_at, std::span<const T>(&stop, 1));
    b.send(b.controls_at, b.dgamma_at);
    times_.data = seconds_since(clock);
    const Program& program = executor_->program();
    const bool measures = !task_norm_.empty(); // the host reads in the middle
    const auto rest = [&] {
        if (program.part_nodes < program.nodes.size()) {
            executor_->run_nodes(program.part_nodes, program.nodes.size(), exchange_);
        }
    };
    const auto body = [&] {
        std::vector<Range> rest_of_it{{0, length_}}; // the last number counts the ranks that want to stop
        executor_->run_nodes(0, program.part_nodes, exchange_, [&](const std::vector<Range>& ranges) {
            reduce(ranges);
            for (const Range& r : ranges) {
                take_out(r, rest_of_it);
            }
        });
        reduce(rest_of_it);
        if (!measures) {
            rest();
        }
    };
    if (communicator_.size() == 1 || sums_->in_graph()) {
        backend_.replay(executor_->list().version(), body);
    } else {
        body();
    }
    times_.forward = seconds_since(clock); // what the host spends on starting it
    if (measures) {
        backend_.run(tasks_, 0, tasks_.size(), {});
        const auto first = static_cast<std::size_t>(results_.size()) - task_norm_.size();
        std::vector<double> norms(task_norm_.size());
        backend_.to_host(norms.data(), results_.data() + first, norms.size() * sizeof(double));
        std::vector<T> losses(task_loss_.size());
        backend_.to_host(losses.data(), reduced_.data() + network_.trained_size(), losses.size() * sizeof(T));
        for (std::size_t k = 0; k < task_norm_.size(); ++k) {
            task_loss_[k] = static_cast<double>(losses[k]);
            task_norm_[k] = norms[k] / static_cast<double>(static_cast<T>(control.tasks()[k]));
        }
    }
    if (measures) {
        rest();
    }
    times_.reduce = seconds_since(clock);
}

template <class T>
void DeviceEngine<T>::update(const methods::Control& control, double learning_rate, bool /*want_norm*/) {
    if (pending_) {
        (void)result(); // its gates make this step's terms
    }
    LapClock::time_point clock = LapClock::now();
    extra_loss_ = network_.policy().gate == methods::Gate::trained ? this->primal_terms(control) : 0;
    optimiser_.prepare(learning_rate);
    DeviceControlBlock<T>& b = *block_;
    std::vector<Segment> segments;
    for (const auto& s : optimiser_.segments()) {
        segments.push_back({s.range.begin, s.range.end, s.adam, optimiser_.sgd()});
    }
    const Index count = static_cast<Index>(segments.size());
    b.put(b.dgamma_at, std::span<const double>(dgamma_));
    b.put(b.du_at, std::span<const double>(du_));
    b.put(b.count_at, std::span<const Index>(&count, 1));
    b.put(b.segments_at, std::span<const Segment>(segments));
    b.send(b.dgamma_at, b.bytes);
    backend_.run(after_, 0, after_.size(), {});
    backend_.fetch(results_on_host_, results_.data(),
                   static_cast<std::size_t>(results_.size()) * sizeof(double));
    stale_ = true;
    pending_ = true;
    times_.optimise = seconds_since(clock);
}

template <class T>
StepResult DeviceEngine<T>::result() {
    backend_.await(results_on_host_);
    sums_->check_peers();
    pending_ = false;
    const Index sums = 1, stop = sums + network_.training().sum_columns();
    StepResult result;
    result.gradient_norm = results_on_host_[0];
    result.loss = results_on_host_[sums];
    result.stop = results_on_host_[stop] > 0;
    result.extra_loss = extra_loss_;
    const double* added = results_on_host_ + stop + 1 + 3 * gates_.size();
    for (std::size_t k = 0; k < added_losses_.size(); ++k) {
        result.extra_loss += added[k];
    }
    result.finite = std::isfinite(result.loss) && std::isfinite(result.gradient_norm);
    read_sites_of_results();
    return result;
}

// Gates, slacks and buffers that are gates come to the host with the results, so that read_sites knows them
// while everything else stays on the device.
template <class T>
void DeviceEngine<T>::read_sites_of_results() {
    const std::size_t sites = gates_.size();
    const double* from = results_on_host_ + 1 + network_.training().sum_columns() + 1;
    for (std::size_t s = 0; s < sites; ++s) {
        if (gates_[s] >= 0) {
            trained_[static_cast<std::size_t>(gates_[s])] = static_cast<T>(from[s]);
        }
        if (gate_states_[s] >= 0) {
            state_[static_cast<std::size_t>(gate_states_[s])] = static_cast<T>(from[sites + s]);
        }
        if (!du_.empty()) {
            trained_[static_cast<std::size_t>(slacks_[s])] = static_cast<T>(from[2 * sites + s]);
        }
    }
}

template <class T>
void DeviceEngine<T>::fetch() {
    if (!stale_) {
        return;
    }
    stale_ = false;
    const auto get = [](const device::Buffer<T>& from, std::span<T> to) { from.store(to); };
    get(parameters_, trained_);
    get(state_on_device_, state_);
    get(first_, optimiser_.first_moment());
    get(second_, optimiser_.second_moment());
}

template <class T>
void DeviceEngine<T>::renew_weights() {
    stale_ = false;
    parameters_.load(trained_);
    state_on_device_.load(state_);
    next_state_.load(state_);
    first_.load(optimiser_.first_moment());
    second_.load(optimiser_.second_moment());
}

template <class T>
std::span<const T> DeviceEngine<T>::gradient() {
    gradient_.resize(static_cast<std::size_t>(length_));
    reduced_.store(std::span<T>(gradient_));
    return gradient_;
}

template class DeviceEngine<float>;
template class DeviceEngine<double>;

} // namespace tether::run
