// One training step on this rank: its lanes through the program, sums by the fixed tree, update of the flat
// vector. Engines: on the cores of this machine (host_engine.hpp) and on a device (device_engine.hpp), the
// same to everybody else. Invariant: for order "tree" every number is the same for any number of ranks,
// threads and devices of one kind and any grouping of lanes. Batches, methods' states and files are other
// people's business.
#pragma once

#include "tether/core/fixed_tree.hpp"
#include "tether/device/backend.hpp"
#include "tether/kernels/product.hpp"
#include "tether/optimise/optimiser.hpp"
#include "tether/parallel/communicator.hpp"
#include "tether/parallel/lanes.hpp"
#include "tether/parallel/thread_team.hpp"
#include "tether/run/network.hpp"

#include <functional>
#include <memory>
#include <vector>

namespace tether::run {

struct EngineSettings {
    optimise::OptimiserSettings optimiser;
    bool tree_order = true;  // false: sums between ranks in any order
    Index lanes_at_once = 0; // on cores; 0: chosen by the sizes of weights and activations
    Checking checking = Checking::none;
    kernels::ProductPrecision precision = kernels::ProductPrecision::exact; // on a device
    bool fills_devices = false; // a step: its products are launches of their own (DeviceEnvironment)
};

// Seconds this rank spent, the slowest thread of each phase; with a device, seconds it took to give it the
// work.
struct StepTimes {
    double data = 0, forward = 0, backward = 0, reduce = 0, optimise = 0;
};

struct StepResult {
    double loss = 0;          // task loss of the global batch
    double extra_loss = 0;    // what the method added
    double gradient_norm = 0; // of everything given to the update (0 unless asked for)
    bool finite = true;       // loss and gradient norm
    bool stop = false;        // some rank asked for it in this step (Engine::request_stop)
};

template <class T>
class Engine {
public:
    virtual ~Engine() = default;
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    // Fills a part with the given lanes of the global batch; called by several threads at once.
    using Fill = std::function<void(Index lane_first, Index lane_count, BatchPart<T>& part)>;

    // Forward, backward and the sum over all lanes. `factor`: one over the number of loss terms.
    virtual void compute(const Fill& fill, double factor, const methods::Control& control) = 0;
    // Adds the method's terms, clips, updates parameters, gates and slacks.
    virtual void update(const methods::Control& control, double learning_rate, bool want_norm) = 0;
    // Of the last update. A device may still be at work then and this waits for it: better asked for when the
    // next step was given to it (compute), before its update and before read_sites().
    [[nodiscard]] virtual StepResult result() = 0;
    [[nodiscard]] virtual bool result_is_late() const { return false; }
    // Of the step computed last, where tasks are weighted and measured: plain, turned (else empty).
    [[nodiscard]] std::span<const double> task_loss() const { return task_loss_; }
    [[nodiscard]] std::span<const double> task_norm() const { return task_norm_; }

    // Travels with the next reduction: all ranks learn in the same step that one wants to stop.
    void request_stop() { stop_requested_ = true; }

    // Gates and slacks as they are now, in double (the report to the coordinator).
    void read_sites(const methods::Control& control, std::span<double> gamma, std::span<double> u) const;

    // The numbers as they are now: parameters, then slacks; buffers; the reduced gradient. An engine on a
    // device brings them to the host first. Ranks of a node may have parameters and moments in common:
    // between steps all of them write the same, each number once, and go on with set_trained().
    [[nodiscard]] std::span<const T> trained() { return fetch(), trained_; }
    [[nodiscard]] std::vector<T>& state() { return fetch(), state_; }
    [[nodiscard]] optimise::Optimiser<T>& optimiser() { return fetch(), optimiser_; }
    [[nodiscard]] virtual std::span<const T> gradient() = 0;
    // Parameters and slacks from outside, with all that was written through state() and optimiser().
    // Collective over the ranks.
    void set_trained(std::span<const T> values);
    // The same by one rank alone and in place: for faults on demand and for numerical derivatives.
    void change_trained(const std::function<void(std::span<T>)>& change);

    [[nodiscard]] const StepTimes& times() const { return times_; } // of the last compute and update
    [[nodiscard]] const parallel::LaneMap& lanes() const { return lanes_; }
    [[nodiscard]] virtual std::size_t arena_bytes() const = 0;

protected:
    enum class Memory : std::uint8_t { own, node }; // of parameters and moments: the rank's or its node's
    Engine(const Network& network, const methods::Method& method, const EngineSettings& settings,
           const parallel::LaneMap& lanes, parallel::Communicator& communicator, Memory memory);
    // Numbers were changed on the host.
    virtual void renew_weights() = 0;
    // Makes the host's copies current.
    virtual void fetch() {}
    // Program::controls for a step.
    void fill_controls(double factor, const methods::Control& control, std::span<T> controls) const;
    // The method's terms for gates and slacks as they are now; what they add to the loss.
    double primal_terms(const methods::Control& control);

    const Network& network_;
    const methods::Method& method_;
    EngineSettings settings_;
    parallel::LaneMap lanes_;
    parallel::Communicator& communicator_;
    Index length_; // of the reduced vector: trained values, sums, extra gradients, ranks that want to stop
    bool stop_requested_ = false;
    std::vector<T> own_;
    parallel::Communicator::Common<T> numbers_; // parameters and slacks, then moments
    std::span<T> trained_;
    std::vector<T> state_;
    optimise::Optimiser<T> optimiser_;
    std::vector<Value> added_losses_; // of the method
    std::vector<double> gamma_, u_, dgamma_, du_, task_loss_, task_norm_;
    StepTimes times_;
};

// On `backend`, or on the cores of this machine where that is null.
template <class T>
[[nodiscard]] std::unique_ptr<Engine<T>>
make_engine(const Network& network, const methods::Method& method, const EngineSettings& settings,
            const parallel::LaneMap& lanes, parallel::Communicator& communicator, parallel::ThreadTeam& team,
            device::Backend* backend);

} // namespace tether::run
