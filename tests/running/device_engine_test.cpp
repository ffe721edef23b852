// Whole training steps on the emulated device against those on cores: the same batches, the same methods, in
// double. What differs is the order of sums within a lane, nothing else.
#include "tests/device/fake_cuda.hpp"
#include "tests/running/trained_run.hpp"
#include "tests/support/reference.hpp"
#include "tether/device/devices.hpp"
#include "tether/kernels/launchers.hpp"
#include "tether/run/device_engine.hpp"
#include "tether/run/evaluation.hpp"
#include "tether/run/filling.hpp"
#include "tether/run/training_state.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace tether::test {
namespace {

// A job trained for some steps by an engine of its own.
class ShortTraining {
public:
    ShortTraining(std::vector<std::string> keys, device::Backend* backend, bool fills_devices = false)
        : setup(job_of(std::move(keys))), lanes(static_cast<int>(setup.job.parallel.lanes), 1, 0, 1), team(1),
          alone(parallel::make_self_communicator()),
          engine(run::make_engine<double>(
              *setup.network, *setup.method,
              {.optimiser = setup.job.primal.optimiser, .fills_devices = fills_devices}, lanes, *alone, team,
              backend)),
          filler(setup, lanes), order(setup.batch_order()),
          state(setup.method->start({.sites = setup.network->sites(),
                                     .steps_per_epoch = setup.steps_per_epoch(),
                                     .epochs = setup.job.train.epochs,
                                     .tasks = setup.network->tasks().weights()})) {
        std::vector<double> trained;
        setup.network->initialise<double>(static_cast<std::uint64_t>(setup.job.seed), trained,
                                          engine->state());
        engine->set_trained(trained);
    }
    run::StepResult step(Index number) {
        const auto samples = order.batch(number);
        filler.begin(number, samples);
        const run::Engine<double>::Fill fill = std::ref(filler);
        const methods::Control control = state->control();
        const auto sites = static_cast<std::size_t>(setup.network->sites());
        std::vector<double> gamma(sites), u(setup.network->policy().slack ? sites : 0);
        engine->read_sites(control, gamma, u);
        engine->compute(fill, setup.loss_factor_of(samples), control);
        engine->update(control, setup.job.primal.lr, true);
        const run::StepResult result = engine->result();
        state->advance({.step = number,
                        .learning_rate = setup.job.dual.lr,
                        .gamma = gamma,
                        .u = u,
                        .task_loss = engine->task_loss(),
                        .task_norm = engine->task_norm()});
        return result;
    }

    run::Setup setup;
    parallel::LaneMap lanes;
    parallel::ThreadTeam team;
    std::unique_ptr<parallel::Communicator> alone;
    std::unique_ptr<run::Engine<double>> engine;
    run::BatchFiller<double> filler;
    data::BatchOrder order;
    std::unique_ptr<methods::MethodState> state;

private:
    static run::Job job_of(std::vector<std::string> keys) {
        keys.emplace_back("train.precision=float64");
        keys.emplace_back("data.train=12");
        keys.emplace_back("data.batch=5"); // the last batch is smaller, and lanes are empty
        return trained_job(keys);
    }
};

void expect_close(std::span<const double> found, std::span<const double> expected, const std::string& what) {
    ASSERT_EQ(found.size(), expected.size());
    double scale = 1e-30;
    for (const double v : expected) {
        scale = std::max(scale, std::abs(v));
    }
    for (std::size_t i = 0; i < found.size(); ++i) {
        ASSERT_NEAR(found[i], expected[i], 1e-8 * scale) << what << " " << i;
    }
}

class OnTheDevice : public testing::TestWithParam<std::vector<std::string>> {};

TEST_P(OnTheDevice, trains_as_on_cores) {
    const auto backend = device::make_emulation();
    ShortTraining cores(GetParam(), nullptr);
    ShortTraining small(GetParam(), backend.get());
    ShortTraining large(GetParam(), backend.get(), true); // as batches that fill a device
    for (Index step = 0; step < 7; ++step) {
        SCOPED_TRACE("step " + std::to_string(step));
        const run::StepResult expected = cores.step(step);
        for (ShortTraining* device : {&small, &large}) {
            const run::StepResult found = device->step(step);
            ASSERT_NEAR(found.loss, expected.loss, 1e-9 * std::abs(expected.loss));
            ASSERT_NEAR(found.extra_loss, expected.extra_loss, 1e-9 * std::abs(expected.extra_loss) + 1e-15);
            ASSERT_NEAR(found.gradient_norm, expected.gradient_norm, 1e-8 * expected.gradient_norm);
            ASSERT_TRUE(found.finite);
        }
    }
    for (const ShortTraining* device : {&small, &large}) {
        expect_close(device->engine->trained(), cores.engine->trained(), "parameter");
        expect_close(device->engine->state(), cores.engine->state(), "buffer");
    }
}

// 5 nodes a graph, 8,192 nodes a step, or a rank's share of it where ranks may differ in bits.
TEST(Setup, knows_which_batches_fill_a_device) {
    run::Setup setup(trained_job({"data.train=12", "data.batch=5"}));
    EXPECT_FALSE(setup.fills_devices(1));
    setup.job.data.batch = 1638;
    EXPECT_FALSE(setup.fills_devices(1));
    setup.job.data.batch = 1639;
    EXPECT_TRUE(setup.fills_devices(1));
    EXPECT_TRUE(setup.fills_devices(8));
    setup.job.parallel.order = run::SumOrder::fast;
    EXPECT_TRUE(setup.fills_devices(1));
    EXPECT_FALSE(setup.fills_devices(8));
}

// What an evaluation finds, loss and equivariance error, projected and relaxed.
TEST_P(OnTheDevice, evaluates_as_on_cores) {
    const auto backend = device::make_emulation();
    ShortTraining training(GetParam(), nullptr);
    for (Index step = 0; step < 3; ++step) {
        (void)training.step(step);
    }
    const methods::Control control = training.state->control();
    const std::span<const double> gates = control.gamma();
    run::Evaluator<double> cores(training.setup, *training.alone, training.team, nullptr);
    run::Evaluator<double> device(training.setup, *training.alone, training.team, backend.get());
    const std::span<const double> trained = training.engine->trained();
    const std::vector<double> state = training.engine->state();
    for (const run::Mode mode : {run::Mode::projected, run::Mode::relaxed}) {
        const auto split = data::Split::validation;
        const double expected = cores.loss(mode, split, trained, state, gates);
        EXPECT_NEAR(device.loss(mode, split, trained, state, gates), expected, 1e-9 * expected);
        const auto cores_error = cores.equivariance(mode, split, 5, 2, trained, state, gates);
        const auto device_error = device.equivariance(mode, split, 5, 2, trained, state, gates);
        EXPECT_NEAR(device_error.mean, cores_error.mean, 1e-9 * cores_error.mean + 1e-12);
        EXPECT_EQ(cores_error.mean > 1e-9, mode == run::Mode::relaxed && training.setup.network->sites() > 0);
    }
    // Other numbers in the same place are taken over.
    std::vector<double> other(trained.begin(), trained.end());
    other[7] += 0.5;
    cores.renew();
    device.renew();
    const auto mode = run::Mode::projected;
    const double expected = cores.loss(mode, data::Split::test, other, state, gates);
    EXPECT_NEAR(device.loss(mode, data::Split::test, other, state, gates), expected, 1e-9 * expected);
}

// What a device has computed comes back as it was when it goes on from a checkpoint.
TEST_P(OnTheDevice, goes_on_from_its_checkpoint_bit_for_bit) {
    const auto backend = device::make_emulation();
    ShortTraining whole(GetParam(), backend.get());
    for (Index step = 0; step < 4; ++step) {
        (void)whole.step(step);
    }
    const run::Checkpoint checkpoint = run::save_state(whole.setup.job, 4, *whole.engine);
    (void)whole.step(4);
    (void)whole.step(5);
    ShortTraining other(GetParam(), backend.get());
    for (Index step = 0; step < 4; ++step) { // the method's own state goes the same way
        (void)other.step(step);
    }
    run::load_state(checkpoint, *other.engine);
    (void)other.step(4);
    (void)other.step(5);
    EXPECT_EQ(run::state_sha256(*other.engine), run::state_sha256(*whole.engine));
}

TEST_P(OnTheDevice, trains_on_cuda_as_on_cores) {
    if (const std::string missing = device::survey_devices().missing; !missing.empty()) {
        GTEST_SKIP() << missing;
    }
    const auto backend = device::make_cuda(0, kernels::launchers());
    ShortTraining cores(GetParam(), nullptr);
    ShortTraining device(GetParam(), backend.get());
    for (Index step = 0; step < 100; ++step) {
        const double expected = cores.step(step).loss;
        ASSERT_NEAR(device.step(step).loss, expected, 1e-4 * std::abs(expected)) << "step " << step;
    }
    EXPECT_GT(backend->counts().replays, 90);
}

// CUDA's backend on calls that the host plays (fake_cuda.hpp), with the functors that a build for CUDA has
// kernels for: streams, copies and graphs change no bit.
TEST_P(OnTheDevice, trains_through_the_calls_of_cuda_as_by_the_emulation) {
    device::Launchers launchers;
    for (const std::type_index& functor : kernels::listed_functors()) {
        launchers[functor] = {&launchers, &launchers};
    }
    const auto machine = std::make_shared<FakeMachine>();
    const auto cuda = device::make_cuda(std::make_unique<FakeCuda>(machine), 0, launchers);
    const auto emulation = device::make_emulation();
    ShortTraining device(GetParam(), cuda.get());
    ShortTraining expected(GetParam(), emulation.get());
    for (Index step = 0; step < 5; ++step) {
        ASSERT_EQ(device.step(step).loss, expected.step(step).loss) << step;
    }
    EXPECT_EQ(run::state_sha256(*device.engine), run::state_sha256(*expected.engine));
    EXPECT_GT(cuda->counts().replays, 2);
}

std::vector<std::vector<std::string>> trainings() {
    std::vector<std::vector<std::string>> all;
    for (const std::string method : {"strict", "free", "ace", "schedule", "rpp", "recm"}) {
        all.push_back({"method.name=" + method});
        all.push_back({"method.name=" + method});
        for (const std::string& key : small_egnn()) {
            all.back().push_back(key);
        }
    }
    all.push_back({"method.name=ace", "method.constraint=resilient", "primal.clip_norm=0.01"});
    all.push_back({"method.name=ace", "primal.optimizer=sgd", "primal.momentum=0.9"});
    return all;
}

INSTANTIATE_TEST_SUITE_P(methods, OnTheDevice, testing::ValuesIn(trainings()));

} // namespace
} // namespace tether::test
