#include "tether/run/trainer.hpp"

#include "src/run/training_loop.hpp"
#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/parallel/coordinator.hpp"
#include "tether/parallel/device_communicator.hpp"
#include "tether/parallel/lanes.hpp"
#include "tether/parallel/thread_team.hpp"
#include "tether/run/description.hpp"
#include "tether/run/device_choice.hpp"
#include "tether/run/local_data.hpp"
#include "tether/run/provenance.hpp"
#include "tether/run/signals.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace tether::run {
namespace {

std::string text_of(const parallel::Bytes& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::vector<std::string> gather_text(parallel::Communicator& world, const std::string& text) {
    std::vector<std::string> all;
    for (const parallel::Bytes& b : world.all_gather(std::as_bytes(std::span(text.data(), text.size())))) {
        all.push_back(text_of(b));
    }
    return all;
}

// Ranks that compute must round alike and see the same data.
void check_ranks_agree(const Job& job, const Setup& setup, parallel::Communicator& world) {
    const std::vector<std::string> sets = gather_text(world, compiled_instruction_set());
    for (std::size_t r = 0; r < sets.size() && job.parallel.order == SumOrder::tree; ++r) {
        check(sets[r] == sets[0],
              "rank {} runs a build for {}, rank 0 one for {}: with parallel.order = \"tree\" all must be "
              "the same (set "
              "TETHER_ARCH to the older one, or order = \"fast\")",
              r, sets[r], sets[0]);
    }
    const std::vector<std::string> sums = gather_text(world, setup.set.sha256);
    for (std::size_t r = 0; r < sums.size(); ++r) {
        check(sums[r] == sums[0], ExitCode::data, "{}: rank {} reads other data (sha256 {}) than rank 0 ({})",
              setup.set.path, r, sums[r].substr(0, 12), sums[0].substr(0, 12));
    }
}

// `device`: what this rank trains on; empty where it does not train.
RunDescription describe(const Setup& setup, parallel::Communicator& world, int threads, int worker_ranks,
                        const std::string& device) {
    const Provenance p = provenance();
    const std::vector<std::string> host_list = gather_text(world, p.host);
    const std::set<std::string> hosts(host_list.begin(), host_list.end());
    RunDescription d = describe_setup(setup);
    d.hosts = fmt::format("{}", fmt::join(hosts, ", "));
    const std::vector<std::string> device_list = gather_text(world, device);
    std::set<std::string> devices(device_list.begin(), device_list.end());
    devices.erase("");
    d.devices = fmt::format("{}", fmt::join(devices, ", "));
    d.ranks = worker_ranks;
    d.threads = threads;
    d.more.emplace_back("communicator", world.description());
    if (const std::string nccl = parallel::nccl_version(); !nccl.empty() && d.devices != "cpu") {
        d.more.emplace_back("nccl", nccl);
    }
    return d;
}

} // namespace

int default_threads(const parallel::Communicator& world) {
    return std::max(1, parallel::cores_available() / std::max(1, world.local_size()));
}

TrainResult train(const Job& job, const TrainOptions& options, parallel::Communicator& world) {
    Signals::install();
    const bool dedicated = job.parallel.coordinator == CoordinatorPlace::dedicated;
    const auto place = dedicated ? parallel::CoordinatorPlace::dedicated : parallel::CoordinatorPlace::shared;
    parallel::Cast cast = parallel::assign_roles(world, place);
    const int worker_ranks = dedicated ? world.size() - 1 : world.size();
    const int role_rank = dedicated ? world.size() - 1 : 0;
    Setup setup(Job(job),
                options.local_data.empty() ? "" : local_copy(job.data_file(), options.local_data, world));
    check_ranks_agree(job, setup, world);
    const int threads = options.threads > 0 ? options.threads : default_threads(world);

    // Ranks that cannot share the lanes, and cores without the precision, are refused by everybody, before
    // there is a folder.
    (void)product_precision(job.train.precision, options.device);
    (void)parallel::LaneMap(static_cast<int>(job.parallel.lanes), worker_ranks, 0, 1);

    // The process of the coordinator finds the folder; everybody hears which and whether work is left.
    std::optional<RunFolder> folder;
    std::string path;
    bool complete = false;
    if (world.rank() == role_rank) {
        folder = RunFolder::find(options.runs, job.name, job.hash(), options.resume);
        path = folder->path();
        complete = folder->exists() && folder->complete();
        if (complete) {
            folder->tidy();
        }
    }
    path = gather_text(world, path)[static_cast<std::size_t>(role_rank)];
    complete = world.broadcast_value(static_cast<int>(complete), role_rank) != 0;
    if (complete) {
        return {ExitCode::ok, path, true};
    }

    for (const std::string& site : unreached_sites(*setup.network)) {
        log::info("{}: the loss does not reach this gate; it says nothing about the data", site);
    }

    std::unique_ptr<device::Backend> backend;
    if (!cast.is_coordinator()) {
        backend = options.backend ? options.backend() : open_device(options.device, *cast.workers);
    }
    RolePlan plan;
    plan.job = &setup.job;
    plan.folder = path;
    plan.description = describe(setup, world, threads, worker_ranks,
                                cast.is_coordinator() ? ""
                                : backend == nullptr  ? "cpu"
                                                      : backend->name());
    plan.method = setup.method.get();
    plan.start = {.sites = setup.network->sites(),
                  .steps_per_epoch = setup.steps_per_epoch(),
                  .epochs = job.train.epochs,
                  .tasks = setup.network->tasks().weights()};
    plan.slack = setup.network->policy().slack;
    plan.steps_per_epoch = setup.steps_per_epoch();
    const parallel::CoordinatorFactory factory = [&]() -> std::unique_ptr<parallel::CoordinatorRole> {
        return std::make_unique<RunCoordinator>(plan, std::move(*folder));
    };
    if (cast.is_coordinator()) {
        parallel::serve_coordinator(cast, factory);
        const int code = world.broadcast_value(0, 0); // rank 0 knows how it ended
        return {static_cast<ExitCode>(code), path, false};
    }
    std::unique_ptr<parallel::CoordinatorLink> link;
    if (cast.workers->rank() == 0) {
        link = parallel::connect_coordinator(cast, place, factory);
    }
    const ExitCode code = is_single(job.train.precision)
                              ? training_loop<float>(setup, options, path, threads, *cast.workers,
                                                     std::move(backend), link.get())
                              : training_loop<double>(setup, options, path, threads, *cast.workers,
                                                      std::move(backend), link.get());
    if (dedicated) {
        (void)world.broadcast_value(static_cast<int>(code), 0);
    }
    return {code, path, false};
}

} // namespace tether::run
