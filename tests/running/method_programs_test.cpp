// What methods record into the programs of a real model: the linear free branch and its penalty, the gate
// that is computed inside the step, and a method from outside the library trained like any other.
#include "tests/running/trained_run.hpp"
#include "tests/support/reference.hpp"
#include "tether/core/error.hpp"
#include "tether/methods/schedule.hpp"
#include "tether/run/evaluation.hpp"
#include "tether/run/filling.hpp"
#include "tether/run/host_engine.hpp"
#include "tether/run/run_file_reader.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tether::test {
namespace {

using run::Setup;

// A job's first batch, ready to be computed again and again with other numbers.
class FirstStep {
public:
    explicit FirstStep(const std::vector<std::string>& keys)
        : setup(job_of(keys)), lanes(static_cast<int>(setup.job.parallel.lanes), 1, 0, 1), team(1),
          alone(parallel::make_self_communicator()),
          engine(*setup.network, *setup.method,
                 {setup.job.primal.optimiser, true, setup.job.parallel.lanes_at_once, Checking::debug}, lanes,
                 *alone, team),
          filler(setup, lanes), order(setup.batch_order()),
          state(setup.method->start({.sites = setup.network->sites(),
                                     .steps_per_epoch = setup.steps_per_epoch(),
                                     .epochs = setup.job.train.epochs})) {
        std::vector<double> trained;
        setup.network->initialise<double>(static_cast<std::uint64_t>(setup.job.seed), trained,
                                          engine.state());
        engine.set_trained(trained);
    }

    // Computes the first step; parameters do not move with a rate of 0 (the method's own buffers may).
    run::StepResult compute(double rate = 0) {
        const auto samples = order.batch(0);
        filler.begin(0, samples);
        engine.change_trained([](std::span<double>) {}); // tests write buffers
        const run::HostEngine<double>::Fill fill = std::ref(filler);
        engine.compute(fill, setup.loss_factor_of(samples), control());
        gradient.assign(engine.gradient().begin(), engine.gradient().end());
        engine.update(control(), rate, true);
        return engine.result();
    }
    [[nodiscard]] const methods::Control& control() const { return state->control(); }
    [[nodiscard]] const Parameter& parameter(const std::string& name) const {
        const int number = setup.network->parameters().find(name);
        check(number >= 0, "no parameter {}", name);
        return setup.network->parameters().at(number);
    }
    [[nodiscard]] std::span<double> buffer(const std::string& name) {
        const auto& all = setup.network->states().all();
        const auto found = std::ranges::find(all, name, &StateBuffer::name);
        check(found != all.end(), "no buffer {}", name);
        return std::span(engine.state())
            .subspan(static_cast<std::size_t>(found->offset), static_cast<std::size_t>(found->size));
    }

    Setup setup;
    parallel::LaneMap lanes;
    parallel::ThreadTeam team;
    std::unique_ptr<parallel::Communicator> alone;
    run::HostEngine<double> engine;
    run::BatchFiller<double> filler;
    data::BatchOrder order;
    std::unique_ptr<methods::MethodState> state;
    std::vector<double> gradient;

private:
    static run::Job job_of(std::vector<std::string> keys) {
        keys.emplace_back("train.precision=float64");
        keys.emplace_back("data.train=6");
        keys.emplace_back("data.batch=5");
        return trained_job(keys);
    }
};

std::vector<std::string> on_egnn(std::vector<std::string> keys) {
    for (const std::string& key : small_egnn()) {
        keys.push_back(key);
    }
    return keys;
}

// Mean loss of the validation split with these gates.
double evaluated(FirstStep& step, run::Mode mode, double gate) {
    run::Evaluator<double> evaluator(step.setup, *step.alone, step.team, nullptr);
    const std::vector<double> gates(static_cast<std::size_t>(step.setup.network->sites()), gate);
    return evaluator.loss(mode, data::Split::validation, step.engine.trained(), step.engine.state(), gates);
}

TEST(MethodPrograms, schedule_with_gate_0_is_the_plain_network_bit_for_bit) {
    for (const auto& keys : {std::vector<std::string>{"method.name=schedule", "method.initial=default"},
                             on_egnn({"method.name=schedule", "method.initial=default"})}) {
        FirstStep step(keys);
        EXPECT_EQ(step.control().gamma()[0], 0.0); // the first epoch
        EXPECT_EQ(evaluated(step, run::Mode::relaxed, 0), evaluated(step, run::Mode::projected, 0));
        EXPECT_NE(evaluated(step, run::Mode::relaxed, 1), evaluated(step, run::Mode::projected, 0));
        // The weights of the equivariant network are those of one without branches.
        std::vector<std::string> plain = keys;
        plain[0] = "method.name=strict";
        plain.erase(plain.begin() + 1);
        FirstStep strict(plain);
        EXPECT_EQ(step.compute().loss, strict.compute().loss);
    }
}

// At gate 0 no layer's input depends on a free weight, so that finite differences see the gradient of the
// penalty alone; then no other gradient may have changed.
TEST(MethodPrograms, penalty_of_schedule_is_that_of_finite_differences_and_touches_nothing_else) {
    for (const std::string bracket : {"exact", "released"}) {
        for (const bool egnn : {false, true}) {
            const std::vector<std::string> common{"method.name=schedule", "method.bracket=" + bracket,
                                                  "method.initial=default", "method.bias=true"};
            std::vector<std::string> keys = common;
            keys.emplace_back("method.kappa=0.3");
            FirstStep step(egnn ? on_egnn(keys) : keys);
            const run::StepResult result = step.compute();
            EXPECT_GT(result.extra_loss, 0);
            const std::vector<double> gradient = step.gradient;
            std::size_t compared = 0;
            for (const Parameter& p : step.setup.network->parameters().all()) {
                const bool reached =
                    std::ranges::any_of(step.setup.network->training().reached, [&](const auto& range) {
                        return range.first <= p.offset && p.offset < range.second;
                    });
                if (p.kind != ParameterKind::free || !reached) {
                    continue;
                }
                for (const Index k : {Index{0}, p.size / 2, p.size - 1}) {
                    const auto at = static_cast<std::size_t>(p.offset + k);
                    const double before = step.engine.trained()[at];
                    const auto set = [&](double value) {
                        step.engine.change_trained([&](std::span<double> trained) { trained[at] = value; });
                    };
                    set(before + 1e-5);
                    const double above = step.compute().extra_loss;
                    set(before - 1e-5);
                    const double below = step.compute().extra_loss;
                    set(before);
                    const double expected = gradient[at];
                    EXPECT_NEAR((above - below) / 2e-5, expected, 1e-6 * (1 + std::abs(expected)))
                        << bracket << " " << p.name << "[" << k << "]";
                    ++compared;
                }
            }
            EXPECT_GE(compared, 12U);
            keys = common;
            keys.emplace_back("method.kappa=0");
            FirstStep without(egnn ? on_egnn(keys) : keys);
            EXPECT_EQ(without.compute().extra_loss, 0);
            for (const Parameter& p : step.setup.network->parameters().all()) {
                const bool free = p.kind == ParameterKind::free;
                for (Index k = 0; k < p.size; ++k) {
                    const auto i = static_cast<std::size_t>(p.offset + k);
                    if (free) {
                        ASSERT_EQ(without.gradient[i], 0.0) << p.name; // the gate is closed
                    } else {
                        ASSERT_EQ(gradient[i], without.gradient[i]) << p.name;
                    }
                }
            }
        }
    }
}

TEST(MethodPrograms, gates_of_schedule_are_logged) {
    const TemporaryFolder folder;
    const std::string run =
        train_small(trained_job({"method.name=schedule", "train.epochs=4", "log.every=1"}), folder.path());
    const run::RunFileReader reader(run + "/run.h5");
    const std::vector<double> gamma = reader.numbers("/constraint", "gamma");
    const std::size_t sites = reader.sites().size();
    ASSERT_EQ(sites, 4U);
    ASSERT_EQ(gamma.size(), 8 * sites); // 4 epochs of 2 steps
    for (std::size_t s = 0; s < 8; ++s) {
        const double now = methods::schedule_gate(static_cast<Index>((s + 1) / 2), 4);
        EXPECT_EQ(gamma[s * sites], now) << "after step " << s + 1;
    }
}

// dL/dv through the gate: the first moment after the first step of Adam is 0.1 of the gradient.
TEST(MethodPrograms, gradient_of_the_critics_of_recm_is_that_of_finite_differences) {
    for (const bool egnn : {false, true}) {
        const std::vector<std::string> keys{"method.name=recm", "method.critic_lr=0", "train.epochs=10"};
        FirstStep step(egnn ? on_egnn(keys) : keys);
        const std::string site = step.setup.network->site_names()[egnn ? 2 : 1] + ".recm.";
        const std::vector<double> start = step.engine.state();
        const auto loss = [&] {
            const double value = step.compute().loss;
            return value;
        };
        (void)loss();
        const auto moment = step.buffer(site + "critic_first_moment");
        std::vector<double> gradient(moment.begin(), moment.end());
        double largest = 0;
        for (double& g : gradient) {
            g *= 10;
            largest = std::max(largest, std::abs(g));
        }
        ASSERT_GT(largest, 0);
        EXPECT_EQ(step.buffer(site + "critic_updates")[0], 1);
        for (std::size_t k = 0; k < gradient.size(); k += gradient.size() / 23) {
            double moved[2];
            for (int side = 0; side < 2; ++side) {
                step.engine.state() = start;
                step.buffer(site + "critic")[k] += side == 0 ? 2e-5 : -2e-5;
                moved[side] = loss();
            }
            EXPECT_NEAR((moved[0] - moved[1]) / 4e-5, gradient[k], 1e-4 * largest) << site << k;
        }
    }
}

TEST(MethodPrograms, state_of_recm_stays_as_it_is_in_evaluations) {
    FirstStep step({"method.name=recm", "train.epochs=10"});
    (void)step.compute(1e-3);
    const std::vector<double> before = step.engine.state();
    const double gate = step.buffer(step.setup.network->model().sites()[0].gate)[0];
    EXPECT_NE(gate, 1.0);
    EXPECT_GT(std::abs(evaluated(step, run::Mode::relaxed, 0) - evaluated(step, run::Mode::projected, 0)), 0);
    EXPECT_EQ(step.engine.state(), before);
    std::vector<double> gamma(static_cast<std::size_t>(step.setup.network->sites()));
    step.engine.read_sites(step.control(), gamma, {});
    EXPECT_EQ(gamma[0], gate);
}

// A constant gate has the value that the job gives.
TEST(MethodPrograms, constant_gates_have_their_value) {
    FirstStep half({"method.name=free", "method.gate_initial=0.5"});
    FirstStep trained({"method.name=free", "method.gate_initial=0.5", "method.gate_trained=true"});
    EXPECT_EQ(half.compute().loss, trained.compute().loss);
}

// A method from outside the library: linear branches behind trained gates with a quadratic penalty. One
// class, one registration.
class Shrinking : public methods::Method {
public:
    Shrinking() : Method("shrinking") {}
    [[nodiscard]] methods::SitePolicy sites() const override {
        return {.gate = methods::Gate::trained, .branch = {.linear = true}};
    }
    [[nodiscard]] methods::Evaluation primary() const override { return methods::Evaluation::relaxed; }
    [[nodiscard]] methods::Needs needs() const override { return methods::Needs::sites; }
    double primal_terms(const methods::PrimalView& view) const override {
        double sum = 0;
        for (std::size_t s = 0; s < view.gamma.size(); ++s) {
            view.dgamma[s] += view.gamma[s];
            sum += 0.5 * view.gamma[s] * view.gamma[s];
        }
        return sum;
    }
};

TEST(MethodPrograms, another_method_trains_like_any_other) {
    methods::register_method(
        {methods::method_choice("shrinking", "gates with a quadratic penalty, a method of this test"),
         [](const methods::MethodSettings&) { return std::make_unique<Shrinking>(); }});
    for (const bool egnn : {false, true}) {
        const TemporaryFolder folder;
        const std::vector<std::string> keys{"method.name=shrinking", "log.every=1"};
        const run::Job job = trained_job(egnn ? on_egnn(keys) : keys);
        std::filesystem::create_directory(folder.file("a"));
        std::filesystem::create_directory(folder.file("b"));
        const std::string whole = train_small(job, folder.file("a"));
        std::string parts = train_small(job, folder.file("b"), 3);
        parts = train_small(job, folder.file("b"));
        const run::RunFileReader a(whole + "/run.h5");
        const run::RunFileReader b(parts + "/run.h5");
        EXPECT_EQ(a.state().state_sha256, b.state().state_sha256);
        const std::vector<double> gamma = a.numbers("/constraint", "gamma");
        EXPECT_LT(gamma.back(), 1.0);
    }
}

} // namespace
} // namespace tether::test
