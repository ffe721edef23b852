// One training step on this rank: its lanes over threads, sums by the fixed tree, update of the flat
// vector. Invariant: for order "tree" every number is the same for any number of ranks and threads
// and any grouping of lanes. Batches, methods' states and files are other people's business.
#pragma once

#include "tether/core/fixed_tree.hpp"
#include "tether/optimise/optimiser.hpp"
#include "tether/parallel/communicator.hpp"
#include "tether/parallel/lanes.hpp"
#include "tether/parallel/thread_team.hpp"
#include "tether/run/network.hpp"

#include <array>
#include <functional>
#include <memory>
#include <vector>

namespace tether::run {

struct EngineSettings {
    optimise::OptimiserSettings optimiser;
    bool tree_order = true;  // false: sums between ranks in any order
    Index lanes_at_once = 0; // 0: chosen by the sizes of weights and activations
    Checking checking = Checking::none;
};

// Seconds this rank spent, the slowest thread of each phase.
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
    Engine(const Network& network, const methods::Method& method, const EngineSettings& settings,
           const parallel::LaneMap& lanes, parallel::Communicator& communicator, parallel::ThreadTeam& team);

    // Fills a part with the given lanes of the global batch; called by several threads at once.
    using Fill = std::function<void(Index lane_first, Index lane_count, BatchPart<T>& part)>;

    // Forward, backward and the sum over all lanes. `factor`: one over the number of loss terms.
    void compute(const Fill& fill, double factor, const methods::Control& control);
    // Of the step computed last, where tasks are weighted and measured: plain, turned (else empty).
    [[nodiscard]] std::span<const double> task_loss() const { return task_loss_; }
    [[nodiscard]] std::span<const double> task_norm() const { return task_norm_; }
    // Adds the method's terms, clips, updates parameters, gates and slacks, renews packed weights.
    StepResult update(const methods::Control& control, double learning_rate, bool want_norm);

    // Travels with the next reduction: all ranks learn in the same step that one wants to stop.
    void request_stop() { stop_requested_ = true; }

    // Gates and slacks as they are now, in double (the report to the coordinator).
    void read_sites(const methods::Control& control, std::span<double> gamma, std::span<double> u) const;

    [[nodiscard]] std::vector<T>& trained() { return trained_; } // parameters, then slacks
    [[nodiscard]] std::vector<T>& state() { return state_; }
    [[nodiscard]] std::span<const T> gradient() const { return gradient_; }
    [[nodiscard]] optimise::Optimiser<T>& optimiser() { return optimiser_; }
    void renew_weights(); // after parameters were changed from outside

    [[nodiscard]] const StepTimes& times() const { return times_; } // of the last compute and update
    [[nodiscard]] const HostExecutor<T>& executor(int thread) const {
        return *workers_[static_cast<std::size_t>(thread)]->executor;
    }
    void profile(bool on) { workers_.front()->executor->profile(on); } // operations of the first thread
    [[nodiscard]] Index lanes_at_once() const { return lanes_at_once_; }
    [[nodiscard]] std::size_t arena_bytes() const;
    [[nodiscard]] long allocations() const; // executors' growth so far
    [[nodiscard]] const parallel::LaneMap& lanes() const { return lanes_; }
    [[nodiscard]] parallel::ThreadTeam& team() { return team_; }

private:
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

    const Network& network_;
    const methods::Method& method_;
    EngineSettings settings_;
    parallel::LaneMap lanes_;
    parallel::Communicator& communicator_;
    parallel::ThreadTeam& team_;
    Index length_; // of the reduced vector: trained values, sums, extra gradients, ranks that want to stop
    bool stop_requested_ = false;
    Index lanes_at_once_ = 1;
    std::vector<T> trained_, state_, next_state_;
    optimise::Optimiser<T> optimiser_;
    PackedWeights<T> packed_;
    Parallel parallel_;
    std::vector<T> control_;
    std::vector<Value> added_losses_; // of the method, in the first thread's executor
    std::span<T> gradient_;           // reduced: in memory other ranks of the node can read
    std::vector<std::unique_ptr<Worker>> workers_;
    std::vector<std::vector<double>> exchanged_;
    std::vector<double> norm_blocks_, gamma_, u_, dgamma_, du_, task_loss_, task_norm_;
    StepTimes times_;
};

} // namespace tether::run
