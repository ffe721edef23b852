#include "tether/run/benchmark.hpp"

#include "tether/core/error.hpp"
#include "tether/device/gemm.hpp"
#include "tether/kernels/device_peaks.hpp"
#include "tether/run/device_choice.hpp"
#include "tether/run/device_engine.hpp"
#include "tether/run/filling.hpp"
#include "tether/run/host_engine.hpp"
#include "tether/run/provenance.hpp"
#include "tether/run/setup.hpp"
#include "tether/run/trainer.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>

namespace tether::run {
namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

Spread spread(std::vector<double> seconds) {
    std::ranges::sort(seconds);
    return {1e3 * seconds[seconds.size() / 2], 1e3 * seconds.front(), 1e3 * seconds.back()};
}

// Runs `work` on all threads of all ranks at once, several times; the best rate, summed over ranks.
template <class Work>
double best_rate(parallel::Communicator& world, parallel::ThreadTeam& team, double amount_per_thread,
                 Work&& work) {
    double best = 0;
    for (int repeat = 0; repeat < 5; ++repeat) {
        world.barrier();
        const Clock::time_point start = Clock::now();
        team.run(work);
        best = std::max(best, amount_per_thread * team.size() / since(start));
    }
    std::vector<double> sum{best};
    world.all_reduce_fast(std::span<double>(sum));
    return sum[0] * 1e-9;
}

// float32 products whose operands stay in the second-level cache.
double peak_gflops(parallel::Communicator& world, parallel::ThreadTeam& team) {
    constexpr Index m = 168;
    constexpr Index k = 256;
    constexpr Index n = 256;
    constexpr int calls = 600;
    struct Operands {
        std::vector<float> a, packed, c;
    };
    std::vector<Operands> operands(static_cast<std::size_t>(team.size()));
    for (Operands& o : operands) {
        o.a.assign(m * k, 0.5F);
        o.c.assign(m * n, 0.0F);
        const std::vector<float> w(k * n, 0.25F);
        o.packed.resize(static_cast<std::size_t>(device::packed_size<float>(k, n)));
        device::pack<float>(w.data(), n, 1, k, n, o.packed.data());
    }
    const auto work = [&](int thread) {
        Operands& o = operands[static_cast<std::size_t>(thread)];
        const device::ProductTerm<float> term{o.a.data(), k, k, o.packed.data()};
        for (int call = 0; call < calls; ++call) {
            device::multiply<float>(m, {&term, 1}, n, o.c.data(), n, nullptr, false);
        }
    };
    return best_rate(world, team, 2.0 * static_cast<double>(m * k * n) * calls, work);
}

// Stream triad a = b + s c beyond every cache: three streams of 8-byte numbers.
double peak_gbs(parallel::Communicator& world, parallel::ThreadTeam& team) {
    constexpr std::size_t length = 6'000'000;
    std::vector<std::vector<double>> arrays(static_cast<std::size_t>(team.size()) * 3);
    const auto touch = [&](int thread) {
        for (std::size_t k = 0; k < 3; ++k) {
            arrays[static_cast<std::size_t>(thread) * 3 + k].assign(length, 1.0);
        }
    };
    team.run(touch);
    const auto work = [&](int thread) {
        double* __restrict__ a = arrays[static_cast<std::size_t>(thread) * 3].data();
        const double* __restrict__ b = arrays[static_cast<std::size_t>(thread) * 3 + 1].data();
        const double* __restrict__ c = arrays[static_cast<std::size_t>(thread) * 3 + 2].data();
        for (std::size_t i = 0; i < length; ++i) {
            a[i] = b[i] + 0.5 * c[i];
        }
    };
    return best_rate(world, team, 3.0 * 8.0 * static_cast<double>(length), work);
}

template <class T>
void time_steps(Setup& setup, const BenchmarkOptions& options, parallel::Communicator& world,
                const parallel::LaneMap& lanes, parallel::ThreadTeam& team, BenchmarkResult& result) {
    const Job& job = setup.job;
    const std::unique_ptr<device::Backend> backend = open_device(options.device, world);
    const auto owner = make_engine<T>(*setup.network, *setup.method,
                                      {job.primal.optimiser, job.parallel.order == SumOrder::tree,
                                       job.parallel.lanes_at_once, Checking::none,
                                       product_precision(job.train.precision, options.device),
                                       setup.fills_devices(world.size())},
                                      lanes, world, team, backend.get());
    Engine<T>& engine = *owner;
    auto* host = dynamic_cast<HostEngine<T>*>(owner.get());
    std::vector<T> trained;
    setup.network->initialise<T>(static_cast<std::uint64_t>(job.seed), trained, engine.state());
    engine.set_trained(trained);
    const auto state = setup.method->start({.sites = setup.network->sites(),
                                            .steps_per_epoch = setup.steps_per_epoch(),
                                            .epochs = job.train.epochs,
                                            .tasks = setup.network->tasks().weights()});
    const auto sites = static_cast<std::size_t>(setup.network->sites());
    std::vector<double> gamma(sites), u(setup.network->policy().slack ? sites : 0);
    data::BatchOrder order = setup.batch_order();
    BatchFiller<T> filler(setup, lanes);
    const typename Engine<T>::Fill fill = std::ref(filler);
    Index step = 0;
    std::vector<double> total, data, forward, backward, reduce, optimise, coordinator;
    for (auto* list : {&total, &data, &forward, &backward, &reduce, &optimise, &coordinator}) {
        list->reserve(static_cast<std::size_t>(options.steps));
    }
    methods::Control control = std::as_const(*state).control();
    long allocations = 0;
    if (host != nullptr) {
        host->profile(options.profile);
    }
    device::Backend::Counts before;
    for (; step < options.warmup + options.steps; ++step) {
        if (step == options.warmup && options.allocation_count) {
            allocations = options.allocation_count();
        }
        if (step == options.warmup && backend != nullptr) {
            before = backend->counts();
        }
        const Clock::time_point start = Clock::now();
        const std::span<const Index> samples = order.batch(step);
        filler.begin(step, samples);
        engine.compute(fill, setup.loss_factor_of(samples), control);
        if (step > 0 && engine.result_is_late()) {
            (void)engine.result();
        }
        engine.read_sites(control, gamma, u);
        engine.update(control, job.primal.lr, true);
        const Clock::time_point mark = Clock::now();
        state->advance({.step = step,
                        .learning_rate = job.dual.lr,
                        .gamma = gamma,
                        .u = u,
                        .task_loss = engine.task_loss(),
                        .task_norm = engine.task_norm()});
        std::ranges::copy(std::as_const(*state).control().values(), control.values().begin());
        if (world.size() > 1 && !control.values().empty()) {
            world.broadcast(std::as_writable_bytes(control.values()), 0);
        }
        if (step >= options.warmup) {
            const StepTimes& t = engine.times();
            coordinator.push_back(since(mark));
            total.push_back(since(start));
            data.push_back(t.data);
            forward.push_back(t.forward);
            backward.push_back(t.backward);
            reduce.push_back(t.reduce);
            optimise.push_back(t.optimise);
        }
    }
    if (options.allocation_count) {
        result.allocations_per_step = static_cast<double>(options.allocation_count() - allocations) /
                                      static_cast<double>(options.steps);
    }
    if (options.profile && host != nullptr) {
        struct Sum {
            double seconds = 0, flop = 0;
        };
        std::map<std::string, Sum> sums;
        for (const auto& t : host->executor(0).node_times()) {
            sums[t.name].seconds += t.seconds;
            sums[t.name].flop += t.flop * static_cast<double>(t.runs);
        }
        const auto steps = static_cast<double>(options.steps + options.warmup);
        for (const auto& [name, sum] : sums) {
            result.operations.push_back({name, 1e3 * sum.seconds / steps, 1e-9 * sum.flop / sum.seconds});
        }
        std::ranges::sort(result.operations, std::ranges::greater{}, &OperationTime::ms_per_step);
    }
    result.step_ms = spread(total);
    result.data_ms = spread(data);
    result.forward_ms = spread(forward);
    result.backward_ms = spread(backward);
    result.reduce_ms = spread(reduce);
    result.optimise_ms = spread(optimise);
    result.coordinator_ms = spread(coordinator);
    result.arena_mb = static_cast<double>(engine.arena_bytes()) * 1e-6;
    if (host != nullptr) {
        result.device = "cpu";
        result.lanes_at_once = host->lanes_at_once();
        // The executor counts its last group of lanes; all groups of all threads and ranks are alike.
        const auto groups = static_cast<double>(lanes.lanes()) / static_cast<double>(host->lanes_at_once());
        result.gflop_executed = host->executor(0).flop() * groups * 1e-9;
        return;
    }
    result.device = backend->name();
    if (options.peaks && backend->stream() != nullptr) { // of the device itself; an emulation has none
        const kernels::DevicePeaks peaks = kernels::measure_peaks(*backend);
        result.peak_gflops = peaks.gflops * static_cast<double>(lanes.ranks());
        result.peak_gbs = peaks.gbs * static_cast<double>(lanes.ranks());
        result.peak_product_gflops = peaks.product_gflops * static_cast<double>(lanes.ranks());
    }
    result.lanes_at_once = lanes.lanes_per_rank();
    const device::Backend::Counts after = backend->counts();
    const auto per_step = [&](long now, long then) {
        return static_cast<double>(now - then) / static_cast<double>(options.steps);
    };
    result.launches_per_step = per_step(after.launches, before.launches);
    result.replays_per_step = per_step(after.replays, before.replays);
    result.waits_per_step = per_step(after.waits, before.waits);
    if (const auto* on_device = dynamic_cast<const DeviceEngine<T>*>(owner.get()); on_device != nullptr) {
        result.gflop_executed = on_device->executor().flop() * static_cast<double>(lanes.ranks()) * 1e-9;
        const DeviceSteps steps = on_device->stages();
        result.stages = steps.stages;
        result.levels = steps.within.levels;
        result.phases = steps.within.phases;
        result.product_phases = steps.within.product_phases;
        if (options.profile) {
            const std::map<std::string, long> counts = on_device->launches();
            result.launch_counts.assign(counts.begin(), counts.end());
            std::ranges::stable_sort(result.launch_counts, std::ranges::greater{},
                                     &std::pair<std::string, long>::second);
        }
    }
}

} // namespace

double BenchmarkResult::floor_ms() const {
    return 1e3 * std::max(gflop_step / peak_gflops, gbyte_step / peak_gbs);
}

BenchmarkResult benchmark(const Job& job, const BenchmarkOptions& options, parallel::Communicator& world) {
    Setup setup{Job(job)};
    const int threads = options.threads > 0 ? options.threads : default_threads(world);
    const parallel::LaneMap lanes(static_cast<int>(job.parallel.lanes), world.size(), world.rank(), threads);
    parallel::ThreadTeam team(lanes.threads());
    BenchmarkResult r;
    r.job = job.name;
    r.instruction_set = compiled_instruction_set();
    r.ranks = world.size();
    r.threads = lanes.threads();
    r.lanes = job.parallel.lanes;
    data::BatchOrder order = setup.batch_order();
    const Setup::Rows rows = setup.rows_of(order.batch(0));
    r.batch = rows.graphs;
    r.nodes = rows.nodes;
    r.edges = rows.edges;
    r.parameters = setup.network->parameters().size();
    const models::Work work =
        setup.network->model().step_work(rows.graphs, rows.nodes, rows.edges, setup.network->sites() > 0);
    r.gflop_step = work.flop * 1e-9;
    r.gbyte_step = work.bytes * 1e-9;
    if (options.peaks && options.device != "cuda") {
        r.peak_gflops = peak_gflops(world, team);
        r.peak_gbs = peak_gbs(world, team);
    }
    r.steps_per_epoch = setup.steps_per_epoch();
    r.evaluated = static_cast<Index>(setup.set.samples(data::Split::validation).size() +
                                     setup.set.samples(data::Split::test).size());
    r.branches = setup.network->sites() > 0;
    if (is_single(job.train.precision)) {
        time_steps<float>(setup, options, world, lanes, team, r);
    } else {
        time_steps<double>(setup, options, world, lanes, team, r);
    }
    return r;
}

} // namespace tether::run
