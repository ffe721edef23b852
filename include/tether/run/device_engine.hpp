// The engine on a device: parameters, gradient, moments and the whole update stay there; the host sends a
// batch and one block of scalars per step and reads one block of numbers back when the next step is already
// at work. All lanes of the rank go through the program side by side. Multipliers' terms depend on gates
// alone, which the host knows from the step before, so that nothing waits in the middle of a step.
#pragma once

#include "tether/kernels/update.hpp"
#include "tether/parallel/device_communicator.hpp"
#include "tether/program/device_executor.hpp"
#include "tether/run/engine.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace tether::run {

template <class T>
struct DeviceControlBlock;

// What of a step waits for each other: launches, and what does within them (kernels/row_program.hpp).
struct DeviceSteps {
    long stages = 0;
    device::LaunchSteps within{0, 0, 0};
};

template <class T>
class DeviceEngine : public Engine<T> {
public:
    using typename Engine<T>::Fill;
    DeviceEngine(const Network& network, const methods::Method& method, const EngineSettings& settings,
                 const parallel::LaneMap& lanes, parallel::Communicator& communicator,
                 device::Backend& backend);
    ~DeviceEngine() override;

    void compute(const Fill& fill, double factor, const methods::Control& control) override;
    void update(const methods::Control& control, double learning_rate, bool want_norm) override;
    [[nodiscard]] StepResult result() override;
    [[nodiscard]] bool result_is_late() const override { return true; }
    [[nodiscard]] std::span<const T> gradient() override;
    [[nodiscard]] std::size_t arena_bytes() const override { return executor_->arena_bytes(); }

    [[nodiscard]] const DeviceExecutor<T>& executor() const { return *executor_; }
    // Launches of one step, by the name of their operation.
    [[nodiscard]] std::map<std::string, long> launches() const;
    [[nodiscard]] DeviceSteps stages() const;

private:
    void renew_weights() override;
    using Engine<T>::network_, Engine<T>::method_, Engine<T>::settings_, Engine<T>::lanes_,
        Engine<T>::communicator_, Engine<T>::length_, Engine<T>::stop_requested_, Engine<T>::trained_,
        Engine<T>::state_, Engine<T>::optimiser_, Engine<T>::added_losses_, Engine<T>::dgamma_,
        Engine<T>::du_, Engine<T>::task_loss_, Engine<T>::task_norm_, Engine<T>::times_;
    using Segment = kernels::UpdateSegment<T>;

    void fetch() override;
    void record();
    void record_task_norms();
    using Range = typename DeviceExecutor<T>::Range;
    void reduce(const std::vector<Range>& ranges);
    [[nodiscard]] std::vector<const device::LaunchList*> lists() const;
    void read_sites_of_results();

    device::Backend& backend_;
    device::Buffer<T> parameters_, reduced_, state_on_device_, next_state_, first_, second_;
    device::Buffer<double> results_;
    std::unique_ptr<DeviceControlBlock<T>> block_;
    DeviceMemory memory_;
    std::unique_ptr<DeviceExecutor<T>> executor_;
    device::LaunchList tasks_, after_;
    std::vector<Index> gates_, gate_states_, slacks_; // places in the flat vectors, by site
    double* results_on_host_ = nullptr;               // staging memory
    double extra_loss_ = 0;                           // of the terms added last
    bool pending_ = false;                            // an update was asked for, its result not
    std::vector<T> gradient_, transfer_;
    BatchPart<T> part_;
    bool stale_ = false;                                 // the host's copies are older than the device's
    std::unique_ptr<parallel::DeviceCommunicator> sums_; // over the devices of all ranks
    parallel::SumOrder order_ = parallel::SumOrder::tree;
    device::DeviceExchange exchange_; // sums in the middle of the program; none with one rank
};

} // namespace tether::run
