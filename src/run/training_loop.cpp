#include "src/run/training_loop.hpp"

#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/parallel/watchdog.hpp"
#include "tether/run/clock.hpp"
#include "tether/run/device_choice.hpp"
#include "tether/run/engine.hpp"
#include "tether/run/evaluation.hpp"
#include "tether/run/fault_injection.hpp"
#include "tether/run/filling.hpp"
#include "tether/run/probe.hpp"
#include "tether/run/signals.hpp"
#include "tether/run/training_state.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <optional>
#include <utility>

namespace tether::run {
namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

parallel::WatchdogOptions watchdog_options(const TrainOptions& options,
                                           const parallel::Communicator& workers) {
    parallel::WatchdogOptions w;
    w.limit = options.watchdog;
    w.detail = [&workers] { return workers.waiting_for(); };
    return w;
}

template <class T>
class Loop {
public:
    Loop(Setup& setup, const TrainOptions& options, const std::string& folder, int threads,
         parallel::Communicator& workers, std::unique_ptr<device::Backend> backend,
         parallel::CoordinatorLink* link)
        : setup_(setup), job_(setup.job), options_(options), folder_(folder), workers_(workers), link_(link),
          lanes_(static_cast<int>(job_.parallel.lanes), workers.size(), workers.rank(), threads),
          team_(lanes_.threads()), backend_(std::move(backend)),
          engine_owner_(make_engine<T>(*setup.network, *setup.method,
                                       {job_.primal.optimiser, job_.parallel.order == SumOrder::tree,
                                        job_.parallel.lanes_at_once, options.checking,
                                        product_precision(job_.train.precision, options.device),
                                        setup.fills_devices(workers.size())},
                                       lanes_, workers, team_, backend_.get())),
          engine_(*engine_owner_), evaluator_(setup, workers, team_, backend_.get()),
          order_(setup.batch_order()), control_(setup.network->sites(), setup.network->tasks().weights()),
          filler_(setup, lanes_), total_(setup.total_steps()), watchdog_(watchdog_options(options, workers)),
          clock_(JobClock::from_environment(options.max_wall)) {
        watchdog_.set_rank(workers.rank());
        const auto sites = static_cast<std::size_t>(setup.network->sites());
        report_.gamma.resize(sites);
        report_.u.resize(setup.network->policy().slack ? sites : 0);
    }

    ExitCode run() {
        begin();
        const Index steps_per_epoch = order_.steps_per_epoch();
        const Index evaluate_every = job_.train.evaluate_every * steps_per_epoch;
        bool stop = false;
        while (step_ < total_ && !stop) {
            const Clock::time_point start = Clock::now();
            if (!one_step()) {
                break; // the step before was to be the last
            }
            ++step_;
            if (step_ == options_.stop_after) {
                stop = true;
                asked_ = true;
            }
            const bool evaluates = step_ == total_ || step_ % evaluate_every == 0;
            if (!engine_.result_is_late() || evaluates || stop) { // on all ranks alike
                stop = settle() || stop;
            }
            if (evaluates) {
                evaluate();
            }
            if (step_ < total_ && !stop && checkpoint_is_due()) {
                checkpoint_within();
            }
            report_.times[8] = since(start);
            clock_.step_took(report_.times[8] *
                             (engine_.result_is_late() ? 1.5 : 1)); // one more is under way
        }
        return finish();
    }

private:
    // Fresh start or the newest checkpoint; rank 0 chooses and everybody takes the same.
    void begin() {
        watchdog_.phase("start", step_);
        std::vector<std::byte> bytes;
        if (link_ != nullptr) {
            if (auto found =
                    CheckpointFolder(folder_ + "/checkpoint").load_newest(checkpoint_header(job_, 0))) {
                bytes = found->checkpoint.encode();
                log::info("going on from step {} ({})", found->checkpoint.header.step, found->path);
            }
        }
        const auto size =
            static_cast<std::size_t>(workers_.broadcast_value(static_cast<std::int64_t>(bytes.size()), 0));
        bytes.resize(size);
        if (size > 0) {
            workers_.broadcast(bytes, 0);
            const Checkpoint checkpoint = Checkpoint::decode(bytes, "the checkpoint sent by rank 0");
            load_state(checkpoint, engine_);
            step_ = checkpoint.header.step;
        } else {
            std::vector<T> trained;
            setup_.network->initialise<T>(static_cast<std::uint64_t>(job_.seed), trained, engine_.state());
            engine_.set_trained(trained);
        }
        if (link_ != nullptr) {
            link_->post_blob("start", std::move(bytes));
            link_->post(std::vector<double>{static_cast<double>(Report::control)});
        }
        take_control();
        started_ = Clock::now();
        last_checkpoint_ = started_;
    }

    // The coordinator's answer, for everybody.
    void take_control() {
        if (link_ != nullptr) {
            const std::vector<double>& answer = link_->wait();
            check(answer.size() == control_.values().size(), ExitCode::peer, "control block of {} numbers",
                  answer.size());
            std::ranges::copy(answer, control_.values().begin());
        }
        if (workers_.size() > 1 && !control_.values().empty()) {
            workers_.broadcast(std::as_writable_bytes(control_.values()), 0);
        }
    }

    // What came of a step, which a device tells when it is already at work on the next one.
    struct Pending {
        Index step;
        double learning_rate;
        double coordinator; // seconds
        StepTimes times;
    };

    // False: the step before turns out to have been the last, and this one has changed nothing.
    bool one_step() {
        const Index epoch = order_.epoch(step_);
        const double rate =
            optimise::learning_rate(job_.primal.schedule, job_.primal.lr, epoch, job_.train.epochs);
        watchdog_.phase("coordinator", step_);
        workers_.set_step(step_);
        const bool measures = setup_.method->measures_tasks();
        const bool reports_first = !measures && !engine_.result_is_late();
        double coordinator = 0;
        if (reports_first) {
            coordinator += report_step(epoch);
        }
        if (Signals::stop_requested() || clock_.must_stop()) {
            engine_.request_stop();
        }
        watchdog_.phase("step", step_);
        if (fault_.due(workers_.rank(), step_)) {
            engine_.change_trained([this](std::span<T> trained) { fault_.strike(trained); });
        }
        const std::span<const Index> samples = order_.batch(step_);
        filler_.begin(step_, samples);
        engine_.compute(fill_, setup_.loss_factor_of(samples), control_);
        if (settle()) {
            return false;
        }
        if (!reports_first) {
            coordinator += report_step(epoch);
        }
        engine_.update(control_, rate, true);
        watchdog_.phase("coordinator", step_);
        const Clock::time_point mark = Clock::now();
        take_control();
        coordinator += since(mark);
        pending_ = Pending{step_, rate, coordinator, engine_.times()};
        return true;
    }

    // Seconds it took to tell the coordinator what the step before left.
    double report_step(Index epoch) {
        const Clock::time_point mark = Clock::now();
        report_.dual_learning_rate =
            job_.dual.used
                ? optimise::learning_rate(job_.dual.schedule, job_.dual.lr, epoch, job_.train.epochs)
                : 0;
        if (link_ != nullptr) {
            post_report(Report::step);
        }
        return since(mark);
    }

    // Looks at the result of the last update, if nobody has yet: whether that step is to be the last. All
    // ranks do so at the same place, as what a result says may end the training.
    bool settle() {
        take_result();
        if (!taken_) {
            return false;
        }
        const auto [last, result] = *taken_;
        taken_.reset();
        check(result.finite, ExitCode::numbers,
              "step {}: loss {} and gradient norm {}, expected finite numbers; smaller learning rates "
              "(primal.lr = {}, "
              "dual.lr) or clipping (primal.clip_norm) may help",
              last.step, result.loss, result.gradient_norm, last.learning_rate);
        return result.stop;
    }

    // For the report; nothing is concluded from it yet.
    void take_result() {
        if (!pending_) {
            return;
        }
        const Pending last = *pending_;
        pending_.reset();
        const StepResult result = engine_.result();
        taken_.emplace(last, result);
        const StepTimes& t = last.times;
        report_.has_result = true;
        report_.epoch = static_cast<double>(last.step + 1) / static_cast<double>(order_.steps_per_epoch());
        report_.loss = result.loss;
        report_.learning_rate = last.learning_rate;
        report_.gradient_norm = result.gradient_norm;
        const double whole = report_.times[8];
        report_.times = {t.data, t.forward, t.backward, t.reduce, t.optimise, last.coordinator, 0, 0, whole};
    }

    void evaluate() {
        watchdog_.phase("evaluation", step_,
                        std::chrono::duration_cast<std::chrono::milliseconds>(options_.watchdog) * 4);
        const Clock::time_point mark = Clock::now();
        check_ranks_identical();
        evaluator_.renew();
        EvaluationReport r;
        r.step = step_;
        const std::span<const T> trained(engine_.trained());
        const std::span<const T> state(engine_.state());
        const std::span<const double> gates = std::as_const(control_).gamma();
        const bool branches = setup_.network->sites() > 0;
        for (const Mode mode : {Mode::projected, Mode::relaxed}) {
            const auto m = static_cast<std::size_t>(mode);
            const bool same = mode == Mode::relaxed && !branches; // one network: measured once
            r.validation[m] = same ? r.validation[0]
                                   : evaluator_.loss(mode, data::Split::validation, trained, state, gates);
            r.test[m] = same ? r.test[0] : evaluator_.loss(mode, data::Split::test, trained, state, gates);
            if (!setup_.set.samples(data::Split::out_of_distribution).empty()) {
                r.has_outside = true;
                r.outside[m] =
                    same ? r.outside[0]
                         : evaluator_.loss(mode, data::Split::out_of_distribution, trained, state, gates);
            }
            if (job_.train.equivariance_samples > 0) {
                r.measured = true;
                r.error[m] =
                    same ? r.error[0]
                         : evaluator_.equivariance(mode, data::Split::validation, measured_samples,
                                                   job_.train.equivariance_samples, trained, state, gates);
            }
        }
        if (r.measured && branches && workers_.rank() == 0) { // nothing here is spread over ranks
            if (!probe_) {
                probe_ = std::make_unique<SiteProbe<T>>(setup_);
            }
            engine_.read_sites(control_, report_.gamma, report_.u); // after the last update, as the weights
            r.probe = probe_->measure(trained, state, report_.gamma, gates);
        }
        const double evaluating = since(mark);
        if (link_ != nullptr) {
            link_->post(r.encode());
            const std::vector<double> improved = link_->wait();
            if (improved.at(0) > 0) {
                link_->post_blob("best-projected", save_state(job_, step_, engine_).encode());
            }
            if (improved.at(1) > 0) {
                link_->post_blob("best-relaxed", save_state(job_, step_, engine_).encode());
            }
        }
        report_.times[6] = evaluating;
        report_.times[7] += since(mark) - evaluating;
    }

    // A bit that flipped on one rank is found here, before it is chosen as the best or stored.
    void check_ranks_identical() {
        if (workers_.size() == 1) {
            return;
        }
        const std::string mine = state_sha256(engine_);
        const auto all = workers_.all_gather(std::as_bytes(std::span(mine.data(), mine.size())));
        for (std::size_t r = 1; r < all.size(); ++r) {
            check(all[r] == all[0], ExitCode::numbers,
                  "step {}: the parameters of rank {} differ from those of rank 0 (memory fault, or builds "
                  "that round "
                  "differently)",
                  step_, r);
        }
    }

    void post_report(Report kind) {
        engine_.read_sites(control_, report_.gamma, report_.u);
        report_.task_loss.assign(engine_.task_loss().begin(), engine_.task_loss().end());
        report_.task_norm.assign(engine_.task_norm().begin(), engine_.task_norm().end());
        report_.step = step_;
        report_.wall_s = since(started_);
        report_.encode(kind, message_);
        link_->post(message_);
        report_.times = {};
        report_.has_result = false;
    }

    void checkpoint() {
        const Clock::time_point mark = Clock::now();
        if (link_ != nullptr) {
            // What has happened is logged first: a run that goes on from here must not log it again.
            post_report(Report::result);
            (void)link_->wait();
            link_->post_blob("last", save_state(job_, step_, engine_).encode());
        }
        last_checkpoint_ = Clock::now();
        last_checkpoint_step_ = step_;
        clock_.save_took(since(mark));
        report_.times[7] += since(mark);
    }

    // Between two steps, on this rank alone: clocks differ.
    void checkpoint_within() {
        if (link_ != nullptr) {
            take_result();
            if (taken_ && !taken_->second.finite) {
                return; // told by all ranks in the next step
            }
        }
        checkpoint();
    }

    [[nodiscard]] bool checkpoint_is_due() const {
        const bool by_time =
            job_.log.checkpoint_every_s > 0 && since(last_checkpoint_) >= job_.log.checkpoint_every_s;
        const bool by_step = job_.log.checkpoint_every_steps > 0 &&
                             step_ - last_checkpoint_step_ >= job_.log.checkpoint_every_steps;
        return by_time || by_step;
    }

    ExitCode finish() {
        watchdog_.phase("finish", step_);
        const bool complete = step_ >= total_;
        if (link_ != nullptr) {
            checkpoint();
            const RunStatus status = complete ? RunStatus::complete : RunStatus::stopped;
            link_->post(std::vector<double>{static_cast<double>(Report::end), static_cast<double>(status)});
            (void)link_->wait();
            link_->finish();
            if (!complete) {
                log::info("stopped after step {} of {}{}; the same command goes on from there", step_, total_,
                          asked_ ? ""
                                 : fmt::format(" ({})",
                                               Signals::reason().empty() ? "time limit" : Signals::reason()));
            }
        }
        workers_.barrier(); // nobody leaves before the checkpoint is on disk
        watchdog_.rest();
        return complete || asked_ ? ExitCode::ok : ExitCode::requeue;
    }

    static constexpr Index measured_samples = 100; // of the validation split, for equivariance errors

    Setup& setup_;
    const Job& job_;
    const TrainOptions& options_;
    std::string folder_;
    parallel::Communicator& workers_;
    parallel::CoordinatorLink* link_;
    parallel::LaneMap lanes_;
    parallel::ThreadTeam team_;
    std::unique_ptr<device::Backend> backend_; // null: the cores of this machine
    std::unique_ptr<Engine<T>> engine_owner_;
    Engine<T>& engine_;
    Evaluator<T> evaluator_;
    std::unique_ptr<SiteProbe<T>> probe_; // made when it is first needed
    data::BatchOrder order_;
    methods::Control control_;
    BatchFiller<T> filler_;
    const typename Engine<T>::Fill fill_ = std::ref(filler_);
    Index total_;
    Index step_ = 0;
    bool asked_ = false; // by --stop-after
    parallel::Watchdog watchdog_;
    JobClock clock_;
    StepReport report_;
    std::optional<Pending> pending_;
    std::optional<std::pair<Pending, StepResult>> taken_;
    std::vector<double> message_;
    FaultInjection fault_ = FaultInjection::from_environment();
    Clock::time_point started_, last_checkpoint_;
    Index last_checkpoint_step_ = 0;
};

} // namespace

template <class T>
ExitCode training_loop(Setup& setup, const TrainOptions& options, const std::string& folder, int threads,
                       parallel::Communicator& workers, std::unique_ptr<device::Backend> backend,
                       parallel::CoordinatorLink* link) {
    try {
        Loop<T> loop(setup, options, folder, threads, workers, std::move(backend), link);
        return loop.run();
    } catch (const Error&) {
        if (link != nullptr) {
            // The run file is to say `failed`; whatever stands in the way of that must not hide the cause.
            try {
                link->post(std::vector<double>{static_cast<double>(Report::end),
                                               static_cast<double>(RunStatus::failed)});
                link->finish();
            } catch (const std::exception& e) {
                log::error("the run could not be marked as failed: {}", e.what());
            }
        }
        throw;
    }
}

template ExitCode training_loop<float>(Setup&, const TrainOptions&, const std::string&, int,
                                       parallel::Communicator&, std::unique_ptr<device::Backend>,
                                       parallel::CoordinatorLink*);
template ExitCode training_loop<double>(Setup&, const TrainOptions&, const std::string&, int,
                                        parallel::Communicator&, std::unique_ptr<device::Backend>,
                                        parallel::CoordinatorLink*);

} // namespace tether::run
