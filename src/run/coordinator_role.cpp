#include "tether/run/coordinator_role.hpp"

#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/core/sha256.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unistd.h>

namespace tether::run {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
using Clock = std::chrono::steady_clock;

std::string duration(double seconds) {
    const auto s = static_cast<long>(std::lround(std::max(0.0, seconds)));
    return s >= 3600 ? fmt::format("{}h{:02}m", s / 3600, s / 60 % 60)
                     : fmt::format("{}m{:02}s", s / 60, s % 60);
}

std::string range(std::span<const double> values) {
    const auto [low, high] = std::ranges::minmax_element(values);
    return fmt::format("[{:.3g}, {:.3g}]", *low, *high);
}

} // namespace

void StepReport::encode(Report kind, std::vector<double>& to) const {
    to.clear();
    to.insert(to.end(), {static_cast<double>(kind), static_cast<double>(step), has_result ? 1.0 : 0.0, epoch,
                         loss, learning_rate, gradient_norm, wall_s, dual_learning_rate});
    to.insert(to.end(), times.begin(), times.end());
    to.insert(to.end(), gamma.begin(), gamma.end());
    to.insert(to.end(), u.begin(), u.end());
    to.insert(to.end(), task_loss.begin(), task_loss.end());
    to.insert(to.end(), task_norm.begin(), task_norm.end());
}

void StepReport::decode(std::span<const double> from, std::size_t sites, bool slack, std::size_t tasks) {
    constexpr std::size_t head = 9;
    check(from.size() == head + times.size() + sites * (slack ? 2 : 1) + 2 * tasks, ExitCode::peer,
          "step report of {} numbers", from.size());
    step = static_cast<Index>(from[1]);
    has_result = from[2] != 0;
    epoch = from[3];
    loss = from[4];
    learning_rate = from[5];
    gradient_norm = from[6];
    wall_s = from[7];
    dual_learning_rate = from[8];
    std::copy_n(from.begin() + head, times.size(), times.begin());
    std::span<const double> rest = from.subspan(head + times.size());
    const auto take = [&](std::vector<double>& to, std::size_t count) {
        to.assign(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(count));
        rest = rest.subspan(count);
    };
    take(gamma, sites);
    take(u, slack ? sites : 0);
    take(task_loss, tasks);
    take(task_norm, tasks);
}

std::vector<double> EvaluationReport::encode() const {
    std::vector<double> to{static_cast<double>(Report::evaluation), static_cast<double>(step),
                           measured ? 1.0 : 0.0, has_outside ? 1.0 : 0.0};
    for (std::size_t m = 0; m < 2; ++m) {
        const methods::EquivarianceError& e = error[m];
        to.insert(to.end(), {validation[m], test[m], outside[m], e.mean, e.minimum, e.maximum, e.relative,
                             e.sample_mean, e.averaged});
    }
    if (probe) {
        probe->encode(to);
    }
    return to;
}

EvaluationReport EvaluationReport::decode(std::span<const double> from) {
    constexpr std::size_t head = 4;
    constexpr std::size_t of_mode = 9;
    check(from.size() >= head + 2 * of_mode, ExitCode::peer, "evaluation report of {} numbers", from.size());
    EvaluationReport r;
    r.step = static_cast<Index>(from[1]);
    r.measured = from[2] != 0;
    r.has_outside = from[3] != 0;
    for (std::size_t m = 0; m < 2; ++m) {
        const std::span<const double> f = from.subspan(head + m * of_mode, of_mode);
        r.validation[m] = f[0];
        r.test[m] = f[1];
        r.outside[m] = f[2];
        r.error[m] = {f[3], f[4], f[5], f[6], f[7], f[8]};
    }
    if (const auto rest = from.subspan(head + 2 * of_mode); !rest.empty()) {
        r.probe = ProbeResult::decode(rest);
    }
    return r;
}

std::vector<Quantity> symmetry_quantities(const std::string& units) {
    return {
        {"relative", "1", "equivariance error relative to the output, as trained"},
        {"relative_projected", "1", "equivariance error relative to the output, gamma = 0"},
        {"error_min", units, "equivariance error of the network as trained, smallest component"},
        {"sample_mean", units, "E': norm of a sample's error, mean over samples and elements, as trained"},
        {"sample_mean_projected", units, "E' at gamma = 0"},
        {"averaged", units,
         "E: norm of a sample's error averaged over elements, mean over samples, as trained"},
        {"averaged_projected", units, "E at gamma = 0"},
        {"truncation", units, "largest norm of what branches change in a sample's output, probe batch"},
        {"truncation_bound", units, "bound of that norm, constants estimated"},
        {"bound_gate", "1", "largest |gamma|"},
        {"bound_lipschitz", "1",
         "Lipschitz constant of equivariant branches, estimate (largest observed ratio)"},
        {"bound_free_lipschitz", "1",
         "Lipschitz constant of free branches, estimate (largest observed ratio)"},
        {"bound_free_size", "1", "largest |f_free(z)| / |z| observed"},
        {"bound_input_norm", "1", "largest norm of what enters the first site, of a sample"}};
}

RunCoordinator::RunCoordinator(RolePlan plan, RunFolder folder)
    : plan_(std::move(plan)), folder_(std::move(folder)),
      checkpoints_(folder_.checkpoints(), static_cast<int>(plan_.job->log.keep)), last_projected_(nan),
      last_relaxed_(nan), last_line_(Clock::now()), first_step_at_(Clock::now()),
      terminal_(isatty(STDERR_FILENO) != 0) {
    folder_.open(plan_.job->resolved());
    log::set_file(folder_.log_file());
    state_ = plan_.method->start(plan_.start);
}

RunCoordinator::~RunCoordinator() { log::set_file(""); }

const std::vector<double>& RunCoordinator::answer(std::span<const double> report) {
    check(!report.empty(), ExitCode::peer, "empty report");
    if (folder_.lease_lost()) {
        check(read_lease(folder_.path()).has_value(), ExitCode::storage,
              "{}: the folder, or the lease in it, was removed while this run was writing there",
              folder_.path());
        fail(ExitCode::usage, "{}: another process has taken over this run", folder_.path());
    }
    switch (static_cast<Report>(static_cast<int>(report[0]))) {
    case Report::step:
        on_result(report);
        state_->advance({.step = report_.step,
                         .learning_rate = report_.dual_learning_rate,
                         .gamma = report_.gamma,
                         .u = report_.u,
                         .task_loss = report_.task_loss,
                         .task_norm = report_.task_norm});
        check(std::as_const(*state_).control().finite(), ExitCode::numbers,
              "step {}: a multiplier is not finite any more; the dual step size (dual.lr) may be too large",
              report_.step);
        break;
    case Report::result: on_result(report); break;
    case Report::evaluation: on_evaluation(report); return answer_;
    case Report::end:
        status_ = static_cast<RunStatus>(static_cast<int>(report[1]));
        if (report_.has_result) {
            log_progress(report_, true);
        }
        break;
    case Report::control: break;
    }
    const std::span<const double> control = std::as_const(*state_).control().values();
    answer_.assign(control.begin(), control.end());
    return answer_;
}

void RunCoordinator::on_result(std::span<const double> report) {
    const auto sites = static_cast<std::size_t>(plan_.start.sites);
    const std::size_t tasks =
        plan_.method->measures_tasks() ? static_cast<std::size_t>(plan_.start.tasks) : 0;
    report_.decode(report, sites, plan_.slack, tasks);
    report_.wall_s += wall_before_;
    if (report_.has_result) {
        loss_sum_ += report_.loss;
        ++loss_count_;
        for (std::size_t i = 0; i < time_sum_.size(); ++i) {
            time_sum_[i] += report_.times[i];
        }
        if (report_.step % plan_.job->log.every == 0) {
            file_->append_train({report_.step, report_.epoch, loss_sum_ / static_cast<double>(loss_count_),
                                 report_.learning_rate, report_.gradient_norm, report_.wall_s});
            const std::span<const double> lambda = std::as_const(*state_).control().lambda();
            std::vector<double> slack = report_.u;
            slack.resize(sites, nan);
            file_->append_constraint(report_.step, report_.gamma, lambda, slack);
            if (const auto weights = std::as_const(*state_).control().tasks(); !weights.empty()) {
                file_->append_tasks(report_.step, weights[0], weights[1]); // of the step to come
            }
            file_->append_timing({report_.step, time_sum_[0], time_sum_[1], time_sum_[2], time_sum_[3],
                                  time_sum_[4], time_sum_[5], time_sum_[6], time_sum_[7], time_sum_[8]});
            file_->set_steps(report_.step);
            file_->commit();
            log_progress(report_, false);
            loss_sum_ = 0;
            loss_count_ = 0;
            time_sum_ = {};
        }
    }
}

void RunCoordinator::log_progress(const StepReport& r, bool last) {
    const auto now = Clock::now();
    if (first_step_ < 0) {
        first_step_ = r.step;
        first_step_at_ = now;
    }
    const double interval = terminal_ ? 0.2 : 10.0;
    if (!last && std::chrono::duration<double>(now - last_line_).count() < interval) {
        return;
    }
    last_line_ = now;
    const double passed = std::chrono::duration<double>(now - first_step_at_).count();
    const double rate = passed > 0 ? static_cast<double>(r.step - first_step_) / passed : 0;
    std::string line = fmt::format("step {}/{} epoch {:.1f}", r.step, plan_.description.total_steps, r.epoch);
    if (rate > 0) {
        line += fmt::format("  {:.1f} steps/s  ETA {}", rate,
                            duration(static_cast<double>(plan_.description.total_steps - r.step) / rate));
    }
    if (loss_count_ > 0) {
        line += fmt::format("  loss {:.4e}", loss_sum_ / static_cast<double>(loss_count_));
    }
    if (!std::isnan(last_projected_)) {
        line += fmt::format("  validation {:.4e} projected, {:.4e} relaxed", last_projected_, last_relaxed_);
    }
    if (!r.gamma.empty()) {
        line += fmt::format("  gamma {}", range(r.gamma));
        if (plan_.method->has_multipliers()) {
            line += fmt::format("  lambda {}", range(std::as_const(*state_).control().lambda()));
        }
    }
    if (terminal_) {
        fmt::print(stderr, "\r\033[K{}{}", line.substr(0, 200), last ? "\n" : "");
        std::fflush(stderr);
    } else {
        log::info("{}", line);
    }
}

void RunCoordinator::append_symmetry(const EvaluationReport& r) {
    const auto& [projected, relaxed] = r.error;
    RunFileWriter::Extra extra{{"relative", relaxed.relative},
                               {"relative_projected", projected.relative},
                               {"error_min", relaxed.minimum},
                               {"sample_mean", relaxed.sample_mean},
                               {"sample_mean_projected", projected.sample_mean},
                               {"averaged", relaxed.averaged},
                               {"averaged_projected", projected.averaged}};
    if (r.probe) {
        const methods::BoundConstants& c = r.probe->constants;
        extra.insert({{"truncation", r.probe->truncation},
                      {"truncation_bound", r.probe->truncation_bound},
                      {"bound_gate", c.gate},
                      {"bound_lipschitz", c.lipschitz},
                      {"bound_free_lipschitz", c.free_lipschitz},
                      {"bound_free_size", c.free_size},
                      {"bound_input_norm", c.input_norm}});
        file_->append_sites(r.step, r.probe->sites);
    }
    file_->append_symmetry({r.step, relaxed.mean, relaxed.maximum,
                            r.probe ? r.probe->equivariance_bound : nan, projected.mean, projected.maximum},
                           extra);
}

void RunCoordinator::on_evaluation(std::span<const double> report) {
    const EvaluationReport r = EvaluationReport::decode(report);
    file_->append_evaluation(Split::validation, r.step, r.validation[0], r.validation[1]);
    file_->append_evaluation(Split::test, r.step, r.test[0], r.test[1]);
    if (r.has_outside) {
        file_->append_evaluation(Split::out_of_distribution, r.step, r.outside[0], r.outside[1]);
    }
    if (r.measured) {
        append_symmetry(r);
    }
    last_projected_ = r.validation[0];
    last_relaxed_ = r.validation[1];
    const bool projected = !(r.validation[0] >= best_.projected_validation); // the first one too
    const bool relaxed = !(r.validation[1] >= best_.relaxed_validation);
    if (projected) {
        best_.projected_step = r.step;
        best_.projected_validation = r.validation[0];
        best_.projected_test = r.test[0];
    }
    if (relaxed) {
        best_.relaxed_step = r.step;
        best_.relaxed_validation = r.validation[1];
        best_.relaxed_test = r.test[1];
    }
    file_->set_best(best_);
    file_->commit();
    answer_ = {projected ? 1.0 : 0.0, relaxed ? 1.0 : 0.0};
}

void RunCoordinator::blob(const std::string& kind, std::vector<std::byte> bytes) {
    if (kind != "start") {
        publish(kind, bytes);
        return;
    }
    if (bytes.empty()) {
        file_ = std::make_unique<RunFileWriter>(RunFileWriter::create(folder_.run_file(), plan_.description));
        return;
    }
    const Checkpoint checkpoint = Checkpoint::decode(bytes, "the checkpoint to go on from");
    state_->load(checkpoint.values<double>("method"));
    const std::vector<double> best = checkpoint.values<double>("best");
    check(best.size() == 6, ExitCode::data, "checkpoint: section best of {} numbers, expected 6",
          best.size());
    best_ = {static_cast<Index>(best[0]), best[1], best[2], static_cast<Index>(best[3]), best[4], best[5]};
    const std::vector<double> pending = checkpoint.values<double>("log");
    check(pending.size() == 2 + time_sum_.size(), ExitCode::data, "checkpoint: section log of {} numbers",
          pending.size());
    loss_sum_ = pending[0];
    loss_count_ = static_cast<Index>(pending[1]);
    std::copy_n(pending.begin() + 2, time_sum_.size(), time_sum_.begin());
    if (checkpoint.has("wall_s")) {
        checkpoint.read<double>("wall_s", {&wall_before_, 1});
        report_.wall_s = wall_before_;
    }
    try {
        file_ = std::make_unique<RunFileWriter>(
            RunFileWriter::resume(folder_.run_file(), plan_.description, checkpoint.header.step));
    } catch (const Error& e) {
        check(e.code() == ExitCode::data, e.code(), "{}", e.what());
        log::warning("{}; its rows up to step {} are lost, training goes on from the checkpoint", e.what(),
                     checkpoint.header.step);
        file_ = std::make_unique<RunFileWriter>(RunFileWriter::create(folder_.run_file(), plan_.description));
    }
    file_->set_best(best_);
}

void RunCoordinator::publish(const std::string& kind, std::span<const std::byte> bytes) {
    Checkpoint checkpoint = Checkpoint::decode(bytes, "the workers' part of a checkpoint");
    const std::vector<double> state = state_->save();
    checkpoint.add<double>("method", state);
    const std::vector<double> best{
        static_cast<double>(best_.projected_step), best_.projected_validation, best_.projected_test,
        static_cast<double>(best_.relaxed_step),   best_.relaxed_validation,   best_.relaxed_test};
    checkpoint.add<double>("best", best);
    std::vector<double> pending{loss_sum_, static_cast<double>(loss_count_)};
    pending.insert(pending.end(), time_sum_.begin(), time_sum_.end());
    checkpoint.add<double>("log", pending);
    checkpoint.add<double>("wall_s", {&report_.wall_s, 1});
    if (kind == kind_name(CheckpointKind::last)) {
        // What must agree bitwise: the workers' vectors, then the method's state.
        Sha256 sum;
        sum.add(checkpoint.text("state_sha256"));
        sum.add(state.data(), state.size() * sizeof(double));
        file_->set_state_sha256(sum.hex());
        file_->set_steps(checkpoint.header.step);
        file_->sync();
    }
    checkpoints_.publish(checkpoint.encode(), kind_of(kind), checkpoint.header.step);
}

void RunCoordinator::finish() {
    if (file_) { // a training that fails before its first step has none
        file_->finish(status_);
    }
}

} // namespace tether::run
