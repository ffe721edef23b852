// The coordinator of a run (design 6): the method's state, the run file, the checkpoints, the best
// figures, the messages for people. Lives in one thread or on one rank; everything here is in double.
// Messages from rank 0 of the workers are lists of numbers beginning with their kind (Report).
#pragma once

#include "tether/methods/measure.hpp"
#include "tether/methods/method.hpp"
#include "tether/parallel/coordinator.hpp"
#include "tether/run/checkpoint_folder.hpp"
#include "tether/run/job.hpp"
#include "tether/run/probe_result.hpp"
#include "tether/run/run_file.hpp"
#include "tether/run/run_folder.hpp"

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <vector>

namespace tether::run {

// What the coordinator is told. The first number of a report; the rest by kind.
enum class Report : int {
    control = 0,    // -> control of the step to come (after `start`)
    step = 1,       // see StepReport -> control of the step after it
    evaluation = 2, // see EvaluationReport -> {projected improved, relaxed improved}
    end = 3,        // {status} -> {}
    result = 4      // StepReport of a step that may not come: only what has happened is logged
};

// Gates and slacks before the update of `step`, results of the step before it.
struct StepReport {
    Index step = 0;
    bool has_result = false; // the numbers below belong to step - 1
    double epoch = 0, loss = 0, learning_rate = 0, gradient_norm = 0, wall_s = 0, dual_learning_rate = 0;
    std::array<double, 9>
        times{}; // data, forward, backward, reduce, optimise, coordinator, evaluate, checkpoint, total
    std::vector<double> gamma, u;
    std::vector<double> task_loss, task_norm; // of `step`, of methods that measure their tasks

    void encode(Report kind, std::vector<double>& to) const; // step or result; reuses memory
    void decode(std::span<const double> from, std::size_t sites, bool slack, std::size_t tasks);
};

struct EvaluationReport {
    Index step = 0;
    double validation[2] = {}, test[2] = {}; // projected, relaxed
    double outside[2] = {};                  // out of distribution, where the data have such a part
    methods::EquivarianceError error[2];     // projected, relaxed
    std::optional<ProbeResult> probe;        // of the sites, where there are any
    bool measured = false;                   // equivariance errors are there
    bool has_outside = false;                // figures out of distribution

    [[nodiscard]] std::vector<double> encode() const;
    static EvaluationReport decode(std::span<const double> from);
};

// What /symmetry holds beyond the columns that every run file has (RunDescription::symmetry).
[[nodiscard]] std::vector<Quantity> symmetry_quantities(const std::string& output_units);

// What the role is made from, the same on every rank.
struct RolePlan {
    const Job* job = nullptr;
    std::string folder;
    RunDescription description;
    const methods::Method* method = nullptr;
    methods::Start start;
    bool slack = false;
    Index steps_per_epoch = 1;
};

class RunCoordinator : public parallel::CoordinatorRole {
public:
    // Takes the run folder's lease. `folder` is kept open for the life of the role.
    RunCoordinator(RolePlan plan, RunFolder folder);
    ~RunCoordinator() override;

    const std::vector<double>& answer(std::span<const double> report) override;
    // "start": an encoded checkpoint to go on from, or nothing; "checkpoint", "best-projected",
    // "best-relaxed": the workers' part of a checkpoint, completed with the state here and published.
    void blob(const std::string& kind, std::vector<std::byte> bytes) override;
    void finish() override;

private:
    void on_result(std::span<const double> report);
    void on_evaluation(std::span<const double> report);
    void append_symmetry(const EvaluationReport& r);
    void log_progress(const StepReport& r, bool last);
    void publish(const std::string& kind, std::span<const std::byte> bytes);

    RolePlan plan_;
    RunFolder folder_;
    CheckpointFolder checkpoints_;
    std::unique_ptr<RunFileWriter> file_;
    std::unique_ptr<methods::MethodState> state_;
    std::vector<double> answer_;
    StepReport report_;
    BestFigures best_;
    double loss_sum_ = 0;
    Index loss_count_ = 0;
    std::array<double, 9> time_sum_{};
    double wall_before_ = 0; // of the processes that trained before this one
    double last_projected_, last_relaxed_;
    RunStatus status_ = RunStatus::failed;
    std::chrono::steady_clock::time_point last_line_, first_step_at_;
    Index first_step_ = -1;
    bool terminal_ = false;
};

} // namespace tether::run
