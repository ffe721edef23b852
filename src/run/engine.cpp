// See engine.hpp: what engines share.
#include "tether/run/engine.hpp"

#include "tether/core/error.hpp"
#include "tether/run/device_engine.hpp"
#include "tether/run/host_engine.hpp"

#include <algorithm>
#include <string>

namespace tether::run {
namespace {

std::vector<optimise::Range> trained_ranges(const Network& network, const methods::Method& method) {
    std::vector<optimise::Range> ranges;
    for (const auto& [begin, end] : network.training().reached) {
        ranges.push_back({begin, end});
    }
    // Multipliers reach every gate, also one that the task loss does not.
    for (Index s = 0; method.has_multipliers() && s < network.sites(); ++s) {
        const Index at = network.gate_offset(s);
        if (at >= 0 && !network.gate_reached(s)) {
            ranges.push_back({at, at + 1});
        }
    }
    if (network.trained_size() > network.slack_offset()) {
        ranges.push_back({network.slack_offset(), network.trained_size()});
    }
    std::ranges::sort(ranges, {}, &optimise::Range::begin);
    return ranges;
}

// Parameters and slacks, and the optimiser's moments of them, each from the start of a cache line on.
template <class T>
std::size_t stride_of(const Network& network) {
    constexpr std::size_t line = 64 / sizeof(T);
    return (static_cast<std::size_t>(network.trained_size()) + line - 1) / line * line;
}

template <class T>
std::size_t numbers_size(const Network& network, const EngineSettings& settings) {
    return stride_of<T>(network) *
           static_cast<std::size_t>(1 + optimise::Optimiser<T>::moments(settings.optimiser));
}

template <class T>
typename optimise::Optimiser<T>::Moments moments_in(std::span<T> numbers, const Network& network,
                                                    const EngineSettings& settings) {
    const auto size = static_cast<std::size_t>(network.trained_size());
    const int moments = optimise::Optimiser<T>::moments(settings.optimiser);
    return {moments > 0 ? numbers.subspan(stride_of<T>(network), size) : std::span<T>(),
            moments > 1 ? numbers.subspan(2 * stride_of<T>(network), size) : std::span<T>()};
}

} // namespace

template <class T>
Engine<T>::Engine(const Network& network, const methods::Method& method, const EngineSettings& settings,
                  const parallel::LaneMap& lanes, parallel::Communicator& communicator, Memory memory)
    : network_(network), method_(method), settings_(settings), lanes_(lanes), communicator_(communicator),
      length_(network.trained_size() + network.training().sum_columns() + network.training().extra_gradient +
              1),
      own_(memory == Memory::own ? numbers_size<T>(network, settings) : 0),
      numbers_(memory == Memory::own
                   ? parallel::Communicator::Common<T>{own_, 0, 1}
                   : communicator.common_buffer<T>(static_cast<Index>(numbers_size<T>(network, settings)))),
      trained_(numbers_.values.first(static_cast<std::size_t>(network.trained_size()))),
      state_(static_cast<std::size_t>(network.states().size())),
      optimiser_(settings.optimiser, network.trained_size(), trained_ranges(network, method),
                 moments_in(numbers_.values, network, settings)) {
    for (const auto& [name, v] : network.training().outputs) {
        if (name.starts_with(methods::added_loss)) {
            added_losses_.push_back(v);
        }
    }
    const auto sites = static_cast<std::size_t>(network.sites());
    gamma_.resize(sites);
    dgamma_.resize(sites);
    u_.resize(network.policy().slack ? sites : 0);
    du_.resize(u_.size());
    if (method.measures_tasks()) {
        check(!network.task_gradients().empty(),
              "the method balances tasks by their gradients, but the model names no last weight");
        task_loss_.resize(network.task_gradients().size());
        task_norm_.resize(task_loss_.size());
    }
}

template <class T>
void Engine<T>::set_trained(std::span<const T> values) {
    check(values.size() == trained_.size(), "engine: {} values for {} parameters and slacks", values.size(),
          trained_.size());
    communicator_.node_barrier(); // nobody reads any more what is overwritten now
    std::ranges::copy(values, trained_.begin());
    renew_weights();
    communicator_.node_barrier();
}

template <class T>
void Engine<T>::change_trained(const std::function<void(std::span<T>)>& change) {
    fetch();
    change(trained_);
    renew_weights();
}

template <class T>
void Engine<T>::fill_controls(double factor, const methods::Control& control, std::span<T> controls) const {
    for (std::size_t c = 0; c < controls.size(); ++c) {
        const std::string& name = network_.training().controls[c];
        if (name == loss_factor) {
            controls[c] = static_cast<T>(factor);
        } else if (name.starts_with(task_weight)) {
            controls[c] = static_cast<T>(control.tasks()[static_cast<std::size_t>(name.back() - '0')]);
        } else {
            controls[c] =
                static_cast<T>(control.gamma()[static_cast<std::size_t>(std::stol(name.substr(4)))]);
        }
    }
}

template <class T>
double Engine<T>::primal_terms(const methods::Control& control) {
    read_sites(control, gamma_, u_);
    std::ranges::fill(dgamma_, 0.0);
    std::ranges::fill(du_, 0.0);
    return method_.primal_terms({gamma_, u_, control, dgamma_, du_});
}

template <class T>
void Engine<T>::read_sites(const methods::Control& control, std::span<double> gamma,
                           std::span<double> u) const {
    for (Index s = 0; s < network_.sites(); ++s) {
        const Index at = network_.gate_offset(s);
        const Index buffer = network_.gate_state_offset(s);
        const auto i = static_cast<std::size_t>(s);
        if (at >= 0) {
            gamma[i] = static_cast<double>(trained_[static_cast<std::size_t>(at)]);
        } else if (buffer >= 0) {
            gamma[i] = static_cast<double>(state_[static_cast<std::size_t>(buffer)]);
        } else if (network_.policy().gate == methods::Gate::controlled) {
            gamma[i] = control.gamma()[i];
        } else {
            gamma[i] = network_.policy().initial_gamma;
        }
        if (!u.empty()) {
            u[i] = static_cast<double>(trained_[static_cast<std::size_t>(network_.slack_offset() + s)]);
        }
    }
}

template <class T>
std::unique_ptr<Engine<T>> make_engine(const Network& network, const methods::Method& method,
                                       const EngineSettings& settings, const parallel::LaneMap& lanes,
                                       parallel::Communicator& communicator, parallel::ThreadTeam& team,
                                       device::Backend* backend) {
    if (backend == nullptr) {
        return std::make_unique<HostEngine<T>>(network, method, settings, lanes, communicator, team);
    }
    check(settings.checking == Checking::none, "the debug executor works on the cores, not on a device");
    return std::make_unique<DeviceEngine<T>>(network, method, settings, lanes, communicator, *backend);
}

#define TETHER_INSTANTIATE(T)                                                                                \
    template class Engine<T>;                                                                                \
    template std::unique_ptr<Engine<T>> make_engine<T>(                                                      \
        const Network&, const methods::Method&, const EngineSettings&, const parallel::LaneMap&,             \
        parallel::Communicator&, parallel::ThreadTeam&, device::Backend*);
TETHER_INSTANTIATE(float)
TETHER_INSTANTIATE(double)

} // namespace tether::run
