// Loss and equivariance error of a network on a split. The split is cut into chunks of a size fixed for cores
// and for devices (so that figures of the two differ by rounding); chunks are spread over ranks and threads
// (or each rank's device takes them one by one) and their sums added in the order of the chunks, so that the
// figures are the same for any number of ranks and threads.
#pragma once

#include "tether/device/backend.hpp"
#include "tether/methods/measure.hpp"
#include "tether/parallel/communicator.hpp"
#include "tether/parallel/thread_team.hpp"
#include "tether/run/setup.hpp"

#include <memory>
#include <vector>

namespace tether::run {

enum class Mode { projected, relaxed };

// The control scalars of a program that evaluates: losses are sums, gates as the method's state has them.
template <class T>
[[nodiscard]] std::vector<T> evaluation_control(const Program& program,
                                                std::span<const double> controlled_gates);

template <class T>
struct EvaluationNumbers;

template <class T>
class Evaluator {
public:
    // On `backend`, or on the cores of this machine where that is null.
    Evaluator(const Setup& setup, parallel::Communicator& communicator, parallel::ThreadTeam& team,
              device::Backend* backend);
    ~Evaluator();
    Evaluator(const Evaluator&) = delete;
    Evaluator& operator=(const Evaluator&) = delete;

    // Mean loss over all terms of the split: MSE or MAE as the model says. Collective.
    [[nodiscard]] double loss(Mode mode, data::Split split, std::span<const T> parameters,
                              std::span<const T> state, std::span<const double> controlled_gates);

    // Equivariance error under the group of the data set (data::GraphSet::group) on the first `samples` of a
    // split, `elements` draws each. Collective.
    [[nodiscard]] methods::EquivarianceError equivariance(Mode mode, data::Split split, Index samples,
                                                          Index elements, std::span<const T> parameters,
                                                          std::span<const T> state,
                                                          std::span<const double> controlled_gates);

    // Programs have changed weights: pack again before the next call.
    void renew() { packed_ready_ = {false, false}; }

private:
    struct Worker;
    void prepare(Mode mode, const EvaluationNumbers<T>& numbers);
    template <class Task>
    void for_chunks(Index chunks, Task&& task);

    const Setup& setup_;
    parallel::Communicator& communicator_;
    parallel::ThreadTeam& team_;
    bool on_device_;
    std::unique_ptr<PackedWeights<T>> packed_[2];
    std::vector<bool> packed_ready_{false, false};
    std::vector<std::unique_ptr<Worker>> workers_;
};

} // namespace tether::run
