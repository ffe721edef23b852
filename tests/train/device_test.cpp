// Whole training programs on a device, played by the host (device::make_emulation): for every method on every
// model that it fits, the gradients, sums and buffers of a step are those of the host's executor.
#include "tests/ops/listed.hpp"
#include "tests/train/combinations.hpp"
#include "tether/core/error.hpp"
#include "tether/program/device_executor.hpp"
#include "tether/run/filling.hpp"
#include "tether/run/setup.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace tether::test {
namespace {

// What a step leaves behind.
struct StepNumbers {
    std::vector<double> gradient, extra, sums, state;
    std::vector<std::pair<std::string, double>> added; // by the method, to the loss
};

class StepOnDevice {
public:
    explicit StepOnDevice(const Combination& c)
        // A stored job's data lie where its project says, whatever the current folder.
        : setup(c.job.empty() ? run::parse_job_text(job_text(c), "plain.toml", keys_of(c))
                              : run::read_job(c.job, keys_of(c))),
          program(setup.network->training()) {
        setup.network->initialise<double>(static_cast<std::uint64_t>(setup.job.seed), trained, state);
        const parallel::LaneMap lanes(static_cast<int>(setup.job.parallel.lanes), 1, 0, 1);
        run::BatchFiller<double> filler(setup, lanes);
        data::BatchOrder order = setup.batch_order();
        const auto samples = order.batch(0);
        filler.begin(0, samples);
        filler(0, lanes.lanes(), part);
        for (const std::string& name : program.controls) {
            // Gates of schedules are closed in the first step: any other number tells more.
            control.push_back(name == run::loss_factor             ? setup.loss_factor_of(samples)
                              : name.starts_with(run::task_weight) ? 0.5 + static_cast<double>(control.size())
                                                                   : 0.75);
        }
    }

    StepNumbers host() const {
        HostExecutor<double> executor(program);
        PackedWeights<double> packed(program);
        packed.renew(trained.data());
        StepNumbers n = empty();
        Environment<double> e{.parameters = trained.data(),
                              .gradient = n.gradient.data(),
                              .extra_gradient = n.extra.data(),
                              .totals = n.sums.data(),
                              .state = state.data(),
                              .next_state = n.state.data(),
                              .control = control.data(),
                              .packed = packed.data()};
        executor.run_nodes(part, e, 0, program.part_nodes);
        executor.copy_sums(n.sums.data());
        executor.run_nodes(part, e, program.part_nodes, program.nodes.size());
        for (const auto& [name, v] : program.outputs) {
            if (name.starts_with(methods::added_loss)) {
                n.added.emplace_back(name, executor.value(v)[0]);
            }
        }
        return n;
    }

    // bucket_elements: gradients made beside the rest as soon as there are so many; every number is then
    // doubled where it is ready, once, as a sum over two equal devices would.
    StepNumbers device(bool descending = false, Index bucket_elements = 0, bool part_only = false) {
        const auto backend = device::make_emulation(descending);
        StepNumbers n = empty();
        const auto loaded = [&](const std::vector<double>& values) {
            device::Buffer<double> buffer(*backend);
            buffer.require(std::max<Index>(1, static_cast<Index>(values.size())));
            buffer.load(values);
            return buffer;
        };
        const auto parameters = loaded(trained);
        const auto gradient = loaded(n.gradient);
        const auto extra = loaded(n.extra);
        const auto sums = loaded(n.sums);
        const auto now = loaded(state);
        const auto next = loaded(state);
        const auto controls = loaded(control);
        DeviceExecutor<double> executor(program, *backend,
                                        {.parameters = parameters.data(),
                                         .gradient = gradient.data(),
                                         .extra_gradient = extra.data(),
                                         .sums = sums.data(),
                                         .state = now.data(),
                                         .next_state = next.data(),
                                         .control = controls.data(),
                                         .bucket_elements = bucket_elements});
        executor.load(part);
        buckets = 0;
        const Program& p = executor.program();
        executor.run_nodes(0, part_only ? p.part_nodes : p.nodes.size(), {}, [&](const auto& ranges) {
            ++buckets;
            for (const auto& [begin, end] : ranges) {
                std::for_each(gradient.data() + begin, gradient.data() + end, [](double& g) { g *= 2; });
            }
        });
        launches = executor.list().size();
        waves = executor.list().waves();
        EXPECT_EQ(unlisted(executor.list()), std::set<std::string>{});
        gradient.store(n.gradient);
        extra.store(n.extra);
        sums.store(n.sums);
        next.store(n.state);
        for (const auto& [name, v] : program.outputs) {
            if (name.starts_with(methods::added_loss) && !part_only) {
                n.added.emplace_back(name, executor.value(v)[0]);
            }
        }
        return n;
    }

    run::Setup setup;
    const Program& program;
    std::vector<double> trained, state, control;
    BatchPart<double> part;
    std::size_t launches = 0, waves = 0;
    int buckets = 0;

private:
    static std::vector<std::string> keys_of(const Combination& c) {
        std::vector<std::string> keys = c.keys;
        keys.insert(keys.end(), {"train.precision=float64", "data.batch=5", "parallel.lanes=4"});
        return keys;
    }
    [[nodiscard]] StepNumbers empty() const {
        return {std::vector<double>(trained.size()),
                std::vector<double>(static_cast<std::size_t>(program.extra_gradient)),
                std::vector<double>(static_cast<std::size_t>(program.sum_columns())),
                state,
                {}};
    }
};

void compare(const std::string& what, const std::vector<double>& device, const std::vector<double>& host) {
    double scale = 0;
    for (const double x : host) {
        scale = std::max(scale, std::abs(x));
    }
    ASSERT_EQ(device.size(), host.size()) << what;
    for (std::size_t i = 0; i < host.size(); ++i) {
        ASSERT_NEAR(device[i], host[i], 1e-10 * scale) << what << " entry " << i;
    }
}

class DeviceStep : public testing::TestWithParam<Combination> {};

// What is told to be ready is what it will be, and none of it is told twice.
void expect_buckets_are_ready(StepOnDevice& step) {
    const StepNumbers at_the_end = step.device(false, 0, true);
    const StepNumbers bucketed = step.device(false, 40, true);
    EXPECT_GT(step.buckets, 0);
    std::size_t doubled = 0;
    for (std::size_t i = 0; i < at_the_end.gradient.size(); ++i) {
        const double g = at_the_end.gradient[i];
        const bool twice = bucketed.gradient[i] == 2 * g && g != 0;
        ASSERT_TRUE(twice || bucketed.gradient[i] == g)
            << i << ": " << bucketed.gradient[i] << ", alone " << g;
        doubled += twice ? 1 : 0;
    }
    EXPECT_GE(doubled, 20U);
    EXPECT_EQ(bucketed.sums, at_the_end.sums);
}

void expect_same_step(StepOnDevice& step) {
    const StepNumbers host = step.host();
    const StepNumbers device = step.device();
    double largest = 0;
    for (const double g : host.gradient) {
        ASSERT_TRUE(std::isfinite(g));
        largest = std::max(largest, std::abs(g));
    }
    ASSERT_GT(largest, 0);
    // Whatever runs at once may run in any order.
    const StepNumbers backwards = step.device(true);
    ASSERT_EQ(backwards.gradient, device.gradient);
    ASSERT_EQ(backwards.extra, device.extra);
    ASSERT_EQ(backwards.sums, device.sums);
    ASSERT_EQ(backwards.state, device.state);
    compare("gradient", device.gradient, host.gradient);
    expect_buckets_are_ready(step);
    compare("extra gradient", device.extra, host.extra);
    compare("sums", device.sums, host.sums);
    compare("buffers", device.state, host.state);
    ASSERT_EQ(device.added.size(), host.added.size());
    for (std::size_t k = 0; k < host.added.size(); ++k) {
        EXPECT_NEAR(device.added[k].second, host.added[k].second, 1e-10 * std::abs(host.added[k].second))
            << host.added[k].first;
    }
    step.state = host.state;
}

TEST_P(DeviceStep, is_the_step_of_the_host) {
    StepOnDevice step(GetParam());
    expect_same_step(step);
    RecordProperty("launches", static_cast<int>(step.launches));
    RecordProperty("stages", static_cast<int>(step.waves));
    // Once more from where the first step led, with buffers so large that what bounds them has to act.
    for (double& x : step.state) {
        x *= 8;
    }
    SCOPED_TRACE("second step");
    expect_same_step(step);
}

INSTANTIATE_TEST_SUITE_P(Registry, DeviceStep, testing::ValuesIn(combinations()),
                         [](const auto& tested) { return name_of(tested.param); });

// Terms that a method has with other keys than its own ones.
std::vector<Combination> with_other_keys() {
    std::vector<Combination> all;
    for (Combination& c : combinations()) {
        if (c.method == "schedule") {
            c.keys.insert(c.keys.end(),
                          {"method.bracket=released", "method.bias=true", "method.kappa_times_gate=true"});
            all.push_back(std::move(c));
        }
    }
    return all;
}
INSTANTIATE_TEST_SUITE_P(Keys, DeviceStep, testing::ValuesIn(with_other_keys()),
                         [](const auto& tested) { return name_of(tested.param); });

} // namespace
} // namespace tether::test
