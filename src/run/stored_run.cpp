// import_run goes the way of the trainer itself (engine, coordinator), so that the checkpoint it makes
// has whatever a checkpoint has.
#include "tether/run/stored_run.hpp"

#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/core/text.hpp"
#include "tether/data/collate.hpp"
#include "tether/run/coordinator_role.hpp"
#include "tether/run/description.hpp"
#include "tether/run/host_engine.hpp"
#include "tether/run/provenance.hpp"
#include "tether/run/run_file_reader.hpp"
#include "tether/run/run_folder.hpp"
#include "tether/run/setup.hpp"
#include "tether/run/training_state.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>

namespace tether::run {
namespace fs = std::filesystem;
namespace {

bool exists(const std::string& path) {
    std::error_code error;
    return fs::exists(path, error);
}

Job read_stored(const std::string& folder, const std::vector<std::string>& overrides) {
    const std::string job_file = folder + "/job.toml";
    if (exists(job_file)) {
        return read_job(job_file, overrides);
    }
    const std::string run_file = folder + "/run.h5";
    return parse_job_text(RunFileReader(run_file).text("job"), run_file + ":/meta job", overrides);
}

// Where training found the data, by its run file; empty where that cannot be read.
std::string trained_data_file(const std::string& folder) {
    try {
        const RunFileReader file(folder + "/run.h5");
        return file.has_attribute("data_file") ? file.text("data_file") : "";
    } catch (const Error&) {
        return "";
    }
}

template <class T>
Checkpoint first_checkpoint(const Setup& setup, const NetworkNumbers& numbers) {
    const auto alone = parallel::make_self_communicator();
    const parallel::LaneMap lanes(static_cast<int>(setup.job.parallel.lanes), 1, 0, 1);
    parallel::ThreadTeam team(1);
    HostEngine<T> engine(*setup.network, *setup.method, {.optimiser = setup.job.primal.optimiser}, lanes,
                         *alone, team);
    engine.state().assign(numbers.state.begin(), numbers.state.end());
    engine.set_trained(std::vector<T>(numbers.trained.begin(), numbers.trained.end()));
    return save_state(setup.job, 0, engine);
}

} // namespace

bool data_file_found(const Job& job) {
    const std::vector<std::string> places = job.candidates(job.data.file);
    return std::ranges::any_of(places, exists);
}

std::string the_run(const std::string& path) {
    check(exists(path), "{}: there is no such run (expected a run folder or its run.h5)", path);
    const std::vector<std::string> found = find_runs(path);
    check(!found.empty(), "{}: there is no run here; a run folder holds job.toml and run.h5", path);
    check(found.size() == 1, "{}: holds {} runs, expected one: name one of {}", path, found.size(),
          join(found, ", "));
    return found.front();
}

Job stored_job(const std::string& folder, const std::string& data_file) {
    if (!data_file.empty()) {
        return read_stored(folder, {"data.file=\"" + data_file + "\""});
    }
    Job job = read_stored(folder, {});
    if (!data_file_found(job)) {
        if (const std::string place = trained_data_file(folder); exists(place)) {
            return read_stored(folder, {"data.file=\"" + place + "\""});
        }
    }
    return job;
}

StoredRun::StoredRun(const std::string& run, std::optional<CheckpointKind> kind, const std::string& data_file)
    : folder_(the_run(run)), job_(stored_job(folder_, data_file)),
      method_(methods::make_method(job_.method_settings())) {
    primary_ = method_->primary() == methods::Evaluation::projected ? Mode::projected : Mode::relaxed;
    const CheckpointKind wanted = kind.value_or(primary_ == Mode::projected ? CheckpointKind::best_projected
                                                                            : CheckpointKind::best_relaxed);
    const CheckpointFolder checkpoints(folder_ + "/checkpoint");
    const bool any = !checkpoints.steps().empty() ||
                     exists(checkpoints.path_of(CheckpointKind::best_projected, 0)) ||
                     exists(checkpoints.path_of(CheckpointKind::best_relaxed, 0));
    check(any, ExitCode::data,
          "{}: no checkpoint yet; a run writes its first one after train.evaluate_every = {} epochs, after "
          "log.checkpoint_every_s = {} s, or when it stops (tether status {} shows how far it is)",
          folder_, job_.train.evaluate_every, job_.log.checkpoint_every_s, folder_);
    network_ = make_network(job_, *method_);
    // The job as it was trained: it may be evaluated on another file.
    const LoadedCheckpoint loaded = checkpoints.load(wanted, checkpoint_header(read_stored(folder_, {}), 0));
    checkpoint_ = loaded.path;
    step_ = loaded.checkpoint.header.step;
    if (is_single(job_.train.precision)) {
        load<float>(loaded.checkpoint);
    } else {
        load<double>(loaded.checkpoint);
    }
}

template <class T>
void StoredRun::load(const Checkpoint& checkpoint) {
    std::vector<T> trained(static_cast<std::size_t>(network_->trained_size()));
    std::vector<T> state(static_cast<std::size_t>(network_->states().size()));
    checkpoint.read<T>("trained", trained);
    checkpoint.read<T>("state", state);
    numbers_.trained.assign(trained.begin(), trained.end());
    numbers_.state.assign(state.begin(), state.end());
    const methods::SitePolicy& policy = network_->policy();
    numbers_.gates.assign(static_cast<std::size_t>(network_->sites()), policy.initial_gamma);
    const auto method = method_->start(
        {.sites = network_->sites(), .epochs = job_.train.epochs, .tasks = network_->tasks().weights()});
    method->load(checkpoint.values<double>("method"));
    const std::span<const double> lambda = std::as_const(*method).control().lambda();
    sites_.lambda.assign(lambda.begin(), lambda.end());
    if (policy.slack) {
        sites_.u.assign(numbers_.trained.begin() + network_->slack_offset(), numbers_.trained.end());
    }
    for (std::size_t s = 0; s < numbers_.gates.size(); ++s) {
        const Index at = network_->gate_offset(static_cast<Index>(s));
        if (policy.gate == methods::Gate::trained && at >= 0) {
            numbers_.gates[s] = numbers_.trained[static_cast<std::size_t>(at)];
        } else if (policy.gate == methods::Gate::controlled) {
            numbers_.gates[s] = std::as_const(*method).control().gamma()[s];
        } else if (const Index buffer = network_->gate_state_offset(static_cast<Index>(s)); buffer >= 0) {
            numbers_.gates[s] = numbers_.state[static_cast<std::size_t>(buffer)];
        }
    }
}

data::GraphSet StoredRun::open_data() const { return run::open_data(job_); }

std::vector<double> StoredRun::predict(const data::GraphSet& set, const std::vector<Index>& samples,
                                       std::optional<Mode> mode) const {
    const Mode used = mode.value_or(primary_);
    return is_single(job_.train.precision) ? predict_as<float>(set, samples, used)
                                           : predict_as<double>(set, samples, used);
}

template <class T>
std::vector<double> StoredRun::predict_as(const data::GraphSet& set, const std::vector<Index>& samples,
                                          Mode mode) const {
    check(!samples.empty(), "predict: no samples given");
    const Program& program = mode == Mode::projected ? network_->projected() : network_->relaxed();
    const std::vector<T> parameters = trained<T>();
    const std::vector<T> buffers = state<T>();
    std::vector<T> control(program.controls.size(), T(1));
    for (std::size_t s = 0; s < numbers_.gates.size(); ++s) {
        if (const int at = program.control_number(layers::Sites::control_name(static_cast<int>(s)));
            at >= 0) {
            control[static_cast<std::size_t>(at)] = static_cast<T>(numbers_.gates[s]);
        }
    }
    PackedWeights<T> packed(program);
    packed.renew(parameters.data());
    HostExecutor<T> executor(program);
    BatchPart<T> part;
    data::collate(set, set.field_numbers(program.fields), samples, 1, 0, 1, part);
    executor.run(part, {.parameters = parameters.data(),
                        .state = buffers.data(),
                        .control = control.data(),
                        .packed = packed.data()});
    const auto output = executor.output("prediction");
    return {output.begin(), output.end()};
}

std::string import_run(const Job& job, const std::string& weights, const std::string& runs) {
    RunFolder folder = RunFolder::find(runs, job.name, job.hash(), Resume::automatic);
    check(!folder.exists(),
          "{}: this job has a run folder already, which stays as it is; choose another --runs",
          folder.path());
    const Setup setup{Job(job)};
    const NetworkNumbers numbers = read_weights(weights, job, *setup.network);
    const Checkpoint checkpoint = is_single(job.train.precision) ? first_checkpoint<float>(setup, numbers)
                                                                 : first_checkpoint<double>(setup, numbers);
    RolePlan plan;
    plan.job = &setup.job;
    plan.folder = folder.path();
    plan.description = describe_setup(setup);
    plan.description.hosts = provenance().host;
    plan.method = setup.method.get();
    plan.start = {.sites = setup.network->sites(),
                  .steps_per_epoch = setup.steps_per_epoch(),
                  .epochs = job.train.epochs,
                  .tasks = setup.network->tasks().weights()};
    plan.slack = setup.network->policy().slack;
    plan.steps_per_epoch = setup.steps_per_epoch();
    std::string path = folder.path();
    RunCoordinator coordinator(plan, std::move(folder));
    log::info("{}: weights of step 0 from {}", path, weights); // into the run's log as well
    coordinator.blob("start", {});
    coordinator.blob(std::string(kind_name(CheckpointKind::last)), checkpoint.encode());
    const std::vector<double> end{static_cast<double>(Report::end), static_cast<double>(RunStatus::stopped)};
    (void)coordinator.answer(end);
    coordinator.finish();
    return path;
}

} // namespace tether::run
