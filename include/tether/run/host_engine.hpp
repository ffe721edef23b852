// The engine on the cores of this machine: lanes over threads, each with its own executor and gradient.
#pragma once

#include "tether/run/engine.hpp"

#include <memory>
#include <vector>

namespace tether::run {

template <class T>
class HostEngine : public Engine<T> {
public:
    using typename Engine<T>::Fill;
    HostEngine(const Network& network, const methods::Method& method, const EngineSettings& settings,
               const parallel::LaneMap& lanes, parallel::Communicator& communicator,
               parallel::ThreadTeam& team);

    void compute(const Fill& fill, double factor, const methods::Control& control) override;
    void update(const methods::Control& control, double learning_rate, bool want_norm) override;
    [[nodiscard]] StepResult result() override { return result_; }
    [[nodiscard]] std::span<const T> gradient() override { return gradient_; }

    [[nodiscard]] const HostExecutor<T>& executor(int thread) const {
        return *workers_[static_cast<std::size_t>(thread)]->executor;
    }
    void profile(bool on) { workers_.front()->executor->profile(on); } // operations of the first thread
    [[nodiscard]] Index lanes_at_once() const { return lanes_at_once_; }
    [[nodiscard]] std::size_t arena_bytes() const override;
    [[nodiscard]] long allocations() const; // executors' growth so far

private:
    void renew_weights() override;
    using Engine<T>::network_, Engine<T>::method_, Engine<T>::settings_, Engine<T>::lanes_,
        Engine<T>::communicator_, Engine<T>::length_, Engine<T>::stop_requested_, Engine<T>::trained_,
        Engine<T>::numbers_, Engine<T>::state_, Engine<T>::optimiser_, Engine<T>::added_losses_,
        Engine<T>::gamma_, Engine<T>::u_, Engine<T>::dgamma_, Engine<T>::du_, Engine<T>::task_loss_,
        Engine<T>::task_norm_, Engine<T>::times_;
    struct Worker {
        std::unique_ptr<HostExecutor<T>> executor;
        BatchPart<T> part;
        std::vector<std::vector<T>> level; // partial sums of the tree over this thread's groups
        std::vector<T> current;
        StepTimes times;
        Exchange exchange;
    };
    [[nodiscard]] Environment<T> environment_of(const Worker& w, T* gradient, bool commits_state) const;
    void run_thread(int thread, const Fill& fill);
    void reduce_threads(int thread);
    void measure_tasks(const methods::Control& control);
    void exchange(int thread, std::span<double> values);
    [[nodiscard]] Index choose_lanes_at_once(Index wanted) const;

    parallel::ThreadTeam& team_;
    Index lanes_at_once_ = 1;
    std::vector<T> next_state_;
    parallel::Communicator::Common<T>
        packed_memory_; // what the ranks of the node have in common, if it had room
    PackedWeights<T> packed_;
    Parallel parallel_;
    std::vector<T> control_;
    std::span<T> gradient_; // reduced: in memory other ranks of the node can read
    std::vector<std::unique_ptr<Worker>> workers_;
    std::vector<std::vector<double>> exchanged_;
    std::vector<double> norm_blocks_;
    StepResult result_; // of the last update
};

} // namespace tether::run
