#include "tether/run/host_engine.hpp"

#include "src/run/lap.hpp"
#include "tether/core/error.hpp"
#include "tether/optimise/clip.hpp"

#include <algorithm>
#include <cmath>

namespace tether::run {
namespace {

// Part `part` of `parts` of n elements, whole cache lines.
std::pair<Index, Index> share(Index n, Index part, Index parts) {
    constexpr Index grain = 64;
    const Index blocks = (n + grain - 1) / grain;
    return {std::min(n, blocks * part / parts * grain), std::min(n, blocks * (part + 1) / parts * grain)};
}

} // namespace

template <class T>
HostEngine<T>::HostEngine(const Network& network, const methods::Method& method,
                          const EngineSettings& settings, const parallel::LaneMap& lanes,
                          parallel::Communicator& communicator, parallel::ThreadTeam& team)
    : Engine<T>(network, method, settings, lanes, communicator, Engine<T>::Memory::node), team_(team),
      packed_memory_(communicator.common_buffer<T>(PackedWeights<T>::size(network.training()))),
      packed_(network.training(), packed_memory_.values), control_(network.training().controls.size()) {
    if (lanes.threads() > 1) {
        parallel_ = [this](int parts, const std::function<void(int)>& task) {
            const auto mine = [&](int thread) {
                for (int part = thread; part < parts; part += team_.size()) {
                    task(part);
                }
            };
            team_.run(mine);
        };
    }
    check(team.size() >= lanes.threads(), "engine: {} threads for {} that have lanes", team.size(),
          lanes.threads());
    lanes_at_once_ = choose_lanes_at_once(settings.lanes_at_once);
    gradient_ = communicator.shared_buffer<T>(length_);
    next_state_ = state_;
    const auto threads = static_cast<std::size_t>(lanes_.threads());
    exchanged_.resize(threads);
    for (std::size_t t = 0; t < threads; ++t) {
        auto worker = std::make_unique<Worker>();
        worker->executor = std::make_unique<HostExecutor<T>>(network.training(), settings.checking);
        if (t > 0) {
            worker->current.assign(static_cast<std::size_t>(length_), T(0));
        }
        for (Index groups = lanes_.lanes_per_thread() / lanes_at_once_; groups > 1; groups /= 2) {
            worker->level.emplace_back(static_cast<std::size_t>(length_), T(0));
        }
        worker->exchange = [this, t](std::span<double> values) { exchange(static_cast<int>(t), values); };
        workers_.push_back(std::move(worker));
    }
    norm_blocks_.resize(static_cast<std::size_t>(kernels::norm_blocks(network.trained_size())));
}

// Lanes run one at a time while their activations fit the second-level cache; networks whose weights
// do not fit it run as many as possible, so that weights are read once for all of them.
template <class T>
Index HostEngine<T>::choose_lanes_at_once(Index wanted) const {
    const Index most = lanes_.lanes_per_thread();
    if (network_.training().exchanges) {
        return most; // a sum over all lanes in the middle: all of them must be there
    }
    if (wanted > 0) {
        check(is_power_of_two(wanted), "parallel.lanes_at_once = {}, expected a power of two", wanted);
        return std::min(wanted, most);
    }
    constexpr Index cache_bytes = 1 << 20;
    return network_.parameters().size() * static_cast<Index>(sizeof(T)) > cache_bytes ? most : 1;
}

template <class T>
void HostEngine<T>::exchange(int thread, std::span<double> values) {
    auto& mine = exchanged_[static_cast<std::size_t>(thread)];
    mine.assign(values.begin(), values.end());
    if (lanes_.threads() > 1) {
        team_.barrier();
    }
    if (thread == 0) {
        for (int stride = 1; stride < lanes_.threads(); stride *= 2) {
            for (int t = 0; t < lanes_.threads(); t += 2 * stride) {
                tree_add<double>(exchanged_[static_cast<std::size_t>(t)],
                                 exchanged_[static_cast<std::size_t>(t) + static_cast<std::size_t>(stride)]);
            }
        }
        if (communicator_.size() > 1) {
            communicator_.all_reduce_tree(std::span<double>(exchanged_[0]));
        }
    }
    if (lanes_.threads() > 1) {
        team_.barrier();
    }
    std::ranges::copy(exchanged_[0], values.begin());
    if (lanes_.threads() > 1) {
        team_.barrier(); // nobody starts the next exchange while others still read this one
    }
}

template <class T>
Environment<T> HostEngine<T>::environment_of(const Worker& w, T* gradient, bool commits_state) const {
    return {.parameters = trained_.data(),
            .gradient = gradient,
            .extra_gradient = gradient + network_.trained_size() + network_.training().sum_columns(),
            .totals = gradient_.data() + network_.trained_size(),
            .state = state_.data(),
            .next_state = const_cast<T*>(next_state_.data()),
            .control = control_.data(),
            .packed = packed_.data(),
            .exchange = &w.exchange,
            .commits_state = commits_state};
}

template <class T>
void HostEngine<T>::run_thread(int thread, const Fill& fill) {
    Worker& w = *workers_[static_cast<std::size_t>(thread)];
    w.times = {};
    T* current = thread == 0 ? gradient_.data() : w.current.data();
    const parallel::LaneRange mine = lanes_.of_thread(thread);
    const std::size_t nodes = network_.training().part_nodes;
    const std::size_t forward = network_.training().forward_nodes;
    const Index groups = mine.count / lanes_at_once_;
    LapClock::time_point clock = LapClock::now();
    for (Index g = 0; g < groups; ++g) {
        fill(mine.first + g * lanes_at_once_, lanes_at_once_, w.part);
        w.times.data += seconds_since(clock);
        const Environment<T> environment = environment_of(w, current, thread == 0 && g == 0);
        w.executor->run_nodes(w.part, environment, 0, forward);
        w.times.forward += seconds_since(clock);
        w.executor->run_nodes(w.part, environment, forward, nodes);
        // What the method added after the reduction of the step before must go.
        for (const auto& [begin, end] : network_.training().unwritten) {
            std::fill(current + begin, current + end, T(0));
        }
        w.executor->copy_sums(current + network_.trained_size());
        w.times.backward += seconds_since(clock);
        // Binary counter over groups: the same tree as over lanes.
        std::size_t level = 0;
        for (Index digits = g; (digits & 1) != 0; digits >>= 1) {
            const T* __restrict__ low = w.level[level++].data();
            for (Index i = 0; i < length_; ++i) {
                current[i] = low[i] + current[i];
            }
        }
        if (g + 1 < groups) {
            std::copy_n(current, length_, w.level[level].data());
        }
        w.times.reduce += seconds_since(clock);
    }
    if (lanes_.threads() > 1) {
        team_.barrier();
    }
    reduce_threads(thread);
    w.times.reduce += seconds_since(clock);
}

template <class T>
void HostEngine<T>::reduce_threads(int thread) {
    const auto [begin, end] = share(length_, thread, lanes_.threads());
    const auto part = [&](int t) {
        return t == 0 ? gradient_.data() : workers_[static_cast<std::size_t>(t)]->current.data();
    };
    for (int stride = 1; stride < lanes_.threads(); stride *= 2) {
        for (int t = 0; t < lanes_.threads(); t += 2 * stride) {
            T* __restrict__ low = part(t);
            const T* __restrict__ high = part(t + stride);
            for (Index i = begin; i < end; ++i) {
                low[i] += high[i];
            }
        }
    }
}

template <class T>
void HostEngine<T>::compute(const Fill& fill, double factor, const methods::Control& control) {
    this->fill_controls(factor, control, control_);
    // No node writes the gradient of a gate that the task loss does not reach; what the method added to
    // it in the step before must go.
    for (Index s = 0; s < network_.sites(); ++s) {
        if (network_.gate_offset(s) >= 0 && !network_.gate_reached(s)) {
            gradient_[static_cast<std::size_t>(network_.gate_offset(s))] = T(0);
        }
    }
    const int threads = lanes_.threads();
    if (threads == 1) {
        run_thread(0, fill);
    } else {
        const auto task = [&](int thread) {
            if (thread < threads) {
                run_thread(thread, fill);
            }
        };
        team_.run(task);
    }
    times_ = {};
    for (const auto& w : workers_) {
        times_.data = std::max(times_.data, w->times.data);
        times_.forward = std::max(times_.forward, w->times.forward);
        times_.backward = std::max(times_.backward, w->times.backward);
        times_.reduce = std::max(times_.reduce, w->times.reduce);
    }
    LapClock::time_point clock = LapClock::now();
    gradient_[static_cast<std::size_t>(length_) - 1] = stop_requested_ ? T(1) : T(0);
    if (communicator_.size() > 1) {
        if (settings_.tree_order) {
            communicator_.all_reduce_tree(gradient_);
        } else {
            communicator_.all_reduce_fast(gradient_);
        }
    }
    measure_tasks(control);
    // What needed the sums over all lanes; the first thread's executor still holds its values.
    if (const Program& program = network_.training(); program.part_nodes < program.nodes.size()) {
        Worker& w = *workers_.front();
        Environment<T> environment = environment_of(w, gradient_.data(), false);
        environment.parallel = &parallel_;
        w.executor->run_nodes(w.part, environment, program.part_nodes, program.nodes.size());
    }
    times_.reduce += seconds_since(clock);
}

// Before the tasks' gradients are added to one: what they are each. Weights are divided out again.
template <class T>
void HostEngine<T>::measure_tasks(const methods::Control& control) {
    for (std::size_t k = 0; k < task_loss_.size(); ++k) {
        task_loss_[k] = static_cast<double>(gradient_[static_cast<std::size_t>(network_.trained_size()) + k]);
        const TaskGradient& g = network_.task_gradients()[k];
        const Index blocks = kernels::norm_blocks(g.size);
        optimise::squared_norm_blocks(
            std::span<const T>(gradient_.data() + g.first, static_cast<std::size_t>(g.size)), Index{0},
            blocks, std::span<double>(norm_blocks_));
        const double norm = optimise::norm_of_blocks(
            std::span<double>(norm_blocks_.data(), static_cast<std::size_t>(blocks)));
        task_norm_[k] = norm / static_cast<double>(static_cast<T>(control.tasks()[k]));
    }
}

template <class T>
void HostEngine<T>::update(const methods::Control& control, double learning_rate, bool want_norm) {
    LapClock::time_point clock = LapClock::now();
    result_ = {};
    StepResult& result = result_;
    const auto n = static_cast<std::size_t>(network_.trained_size());
    result.loss = static_cast<double>(gradient_[n]);
    result.stop = gradient_[static_cast<std::size_t>(length_) - 1] > T(0);
    if (network_.policy().gate == methods::Gate::trained) {
        result.extra_loss = this->primal_terms(control);
        for (Index site = 0; site < network_.sites(); ++site) {
            const auto i = static_cast<std::size_t>(site);
            gradient_[static_cast<std::size_t>(network_.gate_offset(site))] += static_cast<T>(dgamma_[i]);
            if (!du_.empty()) {
                gradient_[static_cast<std::size_t>(network_.slack_offset() + site)] = static_cast<T>(du_[i]);
            }
        }
    }
    for (const Value v : added_losses_) {
        result.extra_loss += static_cast<double>(workers_.front()->executor->value(v)[0]);
    }
    const int threads = lanes_.threads();
    const std::span<const T> gradient(gradient_.data(), n);
    const auto blocks = static_cast<Index>(norm_blocks_.size());
    const bool norm = want_norm || settings_.optimiser.clip_norm > 0;
    const auto in_team = [&](auto&& task) {
        if (threads == 1) {
            task(0);
        } else {
            const auto guarded = [&](int thread) {
                if (thread < threads) {
                    task(thread);
                }
            };
            team_.run(guarded);
        }
    };
    if (norm) {
        in_team([&](int thread) {
            optimise::squared_norm_blocks(gradient, blocks * thread / threads,
                                          blocks * (thread + 1) / threads, std::span<double>(norm_blocks_));
        });
        result.gradient_norm = optimise::norm_of_blocks(norm_blocks_);
    }
    result.finite = std::isfinite(result.loss) && std::isfinite(result.gradient_norm);
    optimiser_.prepare(learning_rate, result.gradient_norm);
    // Every thread of every rank updates a share of the numbers and packs a share of the weights: the node
    // may have had room for one of the two only.
    communicator_.node_barrier(); // nobody reads the numbers of this step any more
    in_team([&](int thread) {
        const auto [begin, end] =
            share(static_cast<Index>(n), numbers_.part * threads + thread, numbers_.parts * threads);
        optimiser_.update(begin, end, trained_, gradient);
    });
    communicator_.node_barrier();
    in_team([&](int thread) {
        packed_.renew(trained_.data(), packed_memory_.part * threads + thread,
                      packed_memory_.parts * threads);
    });
    communicator_.node_barrier();
    std::swap(state_, next_state_);
    times_.optimise = seconds_since(clock);
}

template <class T>
void HostEngine<T>::renew_weights() {
    packed_.renew(trained_.data());
    next_state_ = state_;
}

template <class T>
std::size_t HostEngine<T>::arena_bytes() const {
    std::size_t total = 0;
    for (const auto& w : workers_) {
        total += w->executor->arena_bytes();
    }
    return total;
}

template <class T>
long HostEngine<T>::allocations() const {
    long total = 0;
    for (const auto& w : workers_) {
        total += w->executor->allocations();
    }
    return total;
}

template class HostEngine<float>;
template class HostEngine<double>;

} // namespace tether::run
