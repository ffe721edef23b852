// The optimiser's own promises: independent of how the vector is cut, skipping of unreached ranges,
// clipping before weight decay, state that is complete, settings that are checked.
#include "tether/optimise/optimiser.hpp"

#include "tether/core/error.hpp"
#include "tether/core/philox.hpp"
#include "tether/optimise/clip.hpp"
#include "tether/optimise/schedule.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>
#include <vector>

namespace tether::optimise {
namespace {

template <class T>
std::vector<T> normals(Index count, std::uint64_t sample) {
    RandomStream random(1, Purpose::test, 0, sample);
    std::vector<T> values(static_cast<std::size_t>(count));
    for (T& value : values) {
        value = static_cast<T>(random.normal());
    }
    return values;
}

template <class T>
class OptimiserOf : public testing::Test {};
using Precisions = testing::Types<float, double>;
TYPED_TEST_SUITE(OptimiserOf, Precisions);

TYPED_TEST(OptimiserOf, result_has_the_same_bits_however_the_vector_is_cut) {
    const Index size = 3001;
    for (const OptimiserSettings& settings :
         {OptimiserSettings{.weight_decay = 1e-2, .clip_norm = 1},
          OptimiserSettings{.kind = OptimiserKind::sgd, .momentum = 0.9, .weight_decay = 1e-2},
          OptimiserSettings{.kind = OptimiserKind::sgd}}) {
        std::vector<std::vector<TypeParam>> results;
        for (const Index cut : {size, Index{1000}, Index{7}}) {
            Optimiser<TypeParam> optimiser(settings, size, {{0, 100}, {100, 2500}, {2600, size}});
            auto parameter = normals<TypeParam>(size, 0);
            for (std::uint64_t step = 1; step < 6; ++step) {
                const auto gradient = normals<TypeParam>(size, step);
                optimiser.prepare(1e-2, norm(std::span<const TypeParam>(gradient)));
                for (Index begin = 0; begin < size; begin += cut) {
                    optimiser.update(begin, std::min(size, begin + cut), parameter, gradient);
                }
            }
            results.push_back(parameter);
        }
        EXPECT_EQ(results[0], results[1]);
        EXPECT_EQ(results[0], results[2]);
        const auto start = normals<TypeParam>(size, 0);
        for (std::size_t i = 2500; i < 2600; ++i) {
            EXPECT_EQ(results[0][i], start[i]) << "outside all ranges";
        }
        EXPECT_NE(results[0][0], start[0]);
    }
}

TYPED_TEST(OptimiserOf, adam_follows_its_formula_written_out) {
    const OptimiserSettings s{
        .beta1 = 0.8, .beta2 = 0.99, .eps = 1e-4, .weight_decay = 0.05, .clip_norm = 0.5};
    Optimiser<TypeParam> optimiser(s, 1);
    std::vector<TypeParam> parameter{TypeParam(0.75)};
    double p = 0.75;
    double m = 0;
    double v = 0;
    for (int t = 1; t <= 20; ++t) {
        const std::vector<TypeParam> gradient{TypeParam(std::sin(t))};
        const double raw = static_cast<double>(gradient[0]);
        optimiser.prepare(0.01, std::abs(raw));
        optimiser.update(0, 1, parameter, gradient);

        const double g = raw * std::min(1.0, 0.5 / (std::abs(raw) + 1e-6)) + 0.05 * p; // decay after clip
        m = 0.8 * m + 0.2 * g;
        v = 0.99 * v + 0.01 * g * g;
        p -= 0.01 / (1 - std::pow(0.8, t)) * m / (std::sqrt(v) / std::sqrt(1 - std::pow(0.99, t)) + 1e-4);
        EXPECT_NEAR(static_cast<double>(parameter[0]), p, sizeof(TypeParam) == 4 ? 1e-6 : 1e-14);
    }
}

TYPED_TEST(OptimiserOf, stored_state_goes_on_with_the_same_bits) {
    constexpr std::size_t size = 40;
    const OptimiserSettings settings{};
    const std::vector<Range> ranges{{0, 20}, {20, 40}};
    const std::vector<std::uint8_t> first_only{1, 0};
    Optimiser<TypeParam> optimiser(settings, size, ranges);
    auto parameter = normals<TypeParam>(size, 0);
    const auto step = [&](Optimiser<TypeParam>& o, std::vector<TypeParam>& p, std::uint64_t number) {
        const auto gradient = normals<TypeParam>(size, number);
        o.prepare(1e-2);
        o.update(0, size, p, gradient);
    };
    optimiser.set_reached(first_only);
    step(optimiser, parameter, 1);
    optimiser.set_reached(std::vector<std::uint8_t>{1, 1});
    step(optimiser, parameter, 2);
    EXPECT_EQ(optimiser.counts()[0], 2);
    EXPECT_EQ(optimiser.counts()[1], 1);

    std::vector<TypeParam> moments(static_cast<std::size_t>(2 * size)); // somebody else's memory
    const std::span<TypeParam> memory(moments);
    Optimiser<TypeParam> copy(settings, size, ranges, {memory.first(size), memory.last(size)});
    std::ranges::copy(optimiser.first_moment(), copy.first_moment().begin());
    std::ranges::copy(optimiser.second_moment(), copy.second_moment().begin());
    std::ranges::copy(optimiser.counts(), copy.counts().begin());
    auto other = parameter;
    step(optimiser, parameter, 3);
    step(copy, other, 3);
    EXPECT_EQ(parameter, other);
    EXPECT_TRUE(std::ranges::equal(optimiser.second_moment(), memory.last(size)));
    EXPECT_THROW((Optimiser<TypeParam>(settings, size, ranges, {memory.first(size), memory.first(5)})),
                 Error);
    EXPECT_THROW((Optimiser<TypeParam>(settings, size, ranges, {memory.first(size), {}})), Error);
}

TYPED_TEST(OptimiserOf, norm_has_the_same_bits_for_any_number_of_threads) {
    for (const Index size : {Index{0}, Index{1}, Index{15}, Index{4096}, Index{4097}, Index{100'003}}) {
        const auto values = normals<TypeParam>(size, 9);
        const Index blocks = kernels::norm_blocks(size);
        const double alone = norm(std::span<const TypeParam>(values));
        double plain = 0;
        for (const TypeParam value : values) {
            plain += static_cast<double>(value) * static_cast<double>(value);
        }
        EXPECT_NEAR(alone, std::sqrt(plain), 1e-13 * std::sqrt(plain));
        for (const Index threads : {2, 3, 5}) {
            std::vector<double> partial(static_cast<std::size_t>(blocks));
            std::vector<std::thread> pool;
            for (Index t = 0; t < threads; ++t) {
                pool.emplace_back([&, t] {
                    squared_norm_blocks(std::span<const TypeParam>(values), blocks * t / threads,
                                        blocks * (t + 1) / threads, std::span<double>(partial));
                });
            }
            for (std::thread& thread : pool) {
                thread.join();
            }
            EXPECT_EQ(norm_of_blocks(partial), alone) << size << " elements, " << threads << " threads";
        }
    }
}

TEST(Norm, follows_the_stated_order) {
    // 16 running sums, then the tree, written out by hand for a short vector.
    const auto x = normals<double>(37, 3);
    double sums[16] = {};
    for (std::size_t i = 0; i < x.size(); ++i) {
        const volatile double square = x[i] * x[i]; // rounded before it is added
        sums[i % 16] += square;
    }
    const auto quad = [&](int k) { return (sums[k] + sums[k + 1]) + (sums[k + 2] + sums[k + 3]); };
    const double expected = (quad(0) + quad(4)) + (quad(8) + quad(12));
    EXPECT_EQ(norm(std::span<const double>(x)), std::sqrt(expected));
}

TEST(Clip, leaves_a_broken_gradient_visible) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    EXPECT_EQ(clip_factor(nan, 1.0), 1.0);
    EXPECT_EQ(clip_factor(2.0, 0.0), 1.0);
    EXPECT_DOUBLE_EQ(clip_factor(2.0, 1.0), 1 / (2.0 + 1e-6));
    OptimiserSettings settings{.clip_norm = 1};
    Optimiser<double> optimiser(settings, 1);
    std::vector<double> parameter{1};
    optimiser.prepare(0.1, nan);
    optimiser.update(0, 1, parameter, std::vector<double>{nan});
    EXPECT_TRUE(std::isnan(parameter[0]));
}

std::string message_of(const OptimiserSettings& settings) {
    try {
        check_settings(settings);
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::usage);
        return error.what();
    }
    return {};
}

TEST(OptimiserSettings, are_checked_with_the_value_found) {
    EXPECT_EQ(message_of({}), "");
    EXPECT_NE(message_of({.beta1 = 1.5}).find("1.5"), std::string::npos);
    EXPECT_NE(message_of({.beta2 = -0.5}).find("-0.5"), std::string::npos);
    EXPECT_NE(message_of({.eps = -1}).find("eps"), std::string::npos);
    EXPECT_NE(message_of({.momentum = 0.9}).find("adam"), std::string::npos);
    EXPECT_NE(message_of({.weight_decay = std::nan("")}).find("nan"), std::string::npos);
    EXPECT_NE(message_of({.clip_norm = -2}).find("-2"), std::string::npos);
    EXPECT_THROW(Optimiser<float>({}, 10, {{0, 6}, {5, 10}}), Error);
    EXPECT_THROW(Optimiser<float>({}, 10, {{0, 11}}), Error);
    try {
        (void)optimiser_kind("adan");
        FAIL();
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("adam"), std::string::npos);
    }
    EXPECT_EQ(optimiser_name(optimiser_kind("sgd")), "sgd");
}

TEST(Schedule, keeps_to_its_ends) {
    const ScheduleSettings cosine{.kind = ScheduleKind::cosine, .minimum = 0.1};
    EXPECT_DOUBLE_EQ(learning_rate(cosine, 1.0, 0, 10), 1.0);
    EXPECT_DOUBLE_EQ(learning_rate(cosine, 1.0, 5, 10), 0.55);
    EXPECT_DOUBLE_EQ(learning_rate(cosine, 1.0, 10, 10), 0.1);
    EXPECT_DOUBLE_EQ(learning_rate(cosine, 1.0, 17, 10), 0.1);
    EXPECT_DOUBLE_EQ(learning_rate({}, 0.3, 17, 10), 0.3);
    const ScheduleSettings milestones{.kind = ScheduleKind::milestones, .milestones = {0.7, 0.9}};
    EXPECT_DOUBLE_EQ(learning_rate(milestones, 1.0, 6, 10), 1.0);
    EXPECT_DOUBLE_EQ(learning_rate(milestones, 1.0, 7, 10), 0.1);
    EXPECT_DOUBLE_EQ(learning_rate(milestones, 1.0, 9, 10), 0.01);
    EXPECT_THROW(check_settings({.factor = 0}), Error);
    EXPECT_THROW(check_settings({.milestones = {0.9, 0.8}}), Error);
    EXPECT_THROW((void)schedule_kind("cosinus-annealing-with-restarts"), Error);
    EXPECT_EQ(schedule_name(schedule_kind("cosine")), "cosine");
}

} // namespace
} // namespace tether::optimise
