// What a trainer relies on in every method: site policies, the registry, stored states that go on
// with the same bits, no allocation in a step, and a tenth method from outside the library.
#include "tether/methods/method.hpp"

#include "tests/methods/count_allocations.hpp"
#include "tests/methods/primal.hpp"
#include "tether/core/error.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tether::methods {
namespace {

using test_support::Descent;

MethodSettings named(const std::string& name) { return {.name = name}; }

std::string message_of(const MethodSettings& settings) {
    try {
        (void)make_method(settings);
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::usage);
        return error.what();
    }
    return {};
}

TEST(Method, policies_are_those_of_the_table) {
    struct Row {
        std::string name;
        Gate gate;
        bool slack, rotates, multipliers;
        Evaluation primary;
    };
    for (const Row& row : {Row{"strict", Gate::absent, false, false, false, Evaluation::projected},
                           Row{"free", Gate::constant, false, false, false, Evaluation::relaxed},
                           Row{"augment", Gate::constant, false, true, false, Evaluation::relaxed},
                           Row{"remul", Gate::absent, false, true, false, Evaluation::relaxed},
                           Row{"ace", Gate::trained, false, false, true, Evaluation::projected},
                           Row{"ace-resilient", Gate::trained, true, false, true, Evaluation::relaxed}}) {
        const auto method = make_method(named(row.name));
        EXPECT_EQ(method->name(), row.name);
        EXPECT_EQ(method->sites().gate, row.gate) << row.name;
        EXPECT_EQ(method->sites().slack, row.slack) << row.name;
        EXPECT_EQ(method->tasks().turned, row.rotates) << row.name;
        EXPECT_EQ(method->has_multipliers(), row.multipliers) << row.name;
        EXPECT_EQ(method->primary(), row.primary) << row.name;
        if (row.gate != Gate::absent) {
            EXPECT_EQ(method->sites().initial_gamma, 1.0) << row.name;
        }
    }
    MethodSettings trained = named("free");
    trained.values.set("gate_trained", true);
    trained.values.set("gate_initial", 0.5);
    EXPECT_EQ(make_method(trained)->sites().gate, Gate::trained);
    EXPECT_EQ(make_method(trained)->sites().initial_gamma, 0.5);
    EXPECT_FALSE(make_method(trained)->has_multipliers());
}

TEST(Method, impossible_combinations_are_named) {
    EXPECT_NE(message_of(named("acee")).find("did you mean 'ace'"), std::string::npos);
    MethodSettings s = named("ace");
    s.values.set("constraint", std::string("resilient"));
    EXPECT_EQ(message_of(s), "");
    s.dual.is_signed = true;
    EXPECT_NE(message_of(s).find("either sign"), std::string::npos);
    s.dual.is_signed.reset();
    s.values.set("epsilon", 0.1);
    EXPECT_NE(message_of(s).find("epsilon"), std::string::npos);

    s = named("ace-resilient");
    s.values.set("constraint", std::string("equality"));
    EXPECT_NE(message_of(s).find("ace-resilient"), std::string::npos);
    s = named("ace");
    s.values.set("variant", std::string("released-qm9"));
    EXPECT_NE(message_of(s).find("released-qm9"), std::string::npos);
    s = named("ace-resilient");
    s.values.set("variant", std::string("equality"));
    EXPECT_NE(message_of(s).find("released-mocap"), std::string::npos);
    s = named("ace");
    s.dual.beta1 = 2;
    EXPECT_NE(message_of(s).find("beta1"), std::string::npos);
}

TEST(Method, one_step_takes_everything_before_the_update) {
    // Resilient with SGD, by hand: gamma 1, u 0, lambda 0.2.
    MethodSettings settings = named("ace-resilient");
    settings.dual.kind = DualKind::sgd;
    const auto method = make_method(settings);
    const auto state = method->start({.sites = 1, .lambda = {0.2}});
    const std::vector<double> gamma{1};
    const std::vector<double> u{0.5};
    std::vector<double> dgamma{0};
    std::vector<double> du{0};
    EXPECT_DOUBLE_EQ(method->primal_terms({gamma, u, state->control(), dgamma, du}), 0.2 * 0.5 + 0.5 * 0.25);
    EXPECT_DOUBLE_EQ(dgamma[0], 0.2);
    EXPECT_DOUBLE_EQ(du[0], 0.5 - 0.2);
    state->advance({.step = 0, .learning_rate = 0.1, .gamma = gamma, .u = u});
    const Control& next = state->control();
    EXPECT_DOUBLE_EQ(next.lambda()[0], 0.2 + 0.1 * 0.5);
}

TEST(Method, stored_state_goes_on_with_the_same_bits) {
    for (const std::string variant : {"specified", "released-nbody", "released-mocap"}) {
        for (const DualKind kind : {DualKind::sgd, DualKind::adam, DualKind::nupi}) {
            MethodSettings settings = named("ace-resilient");
            settings.values.set("variant", variant);
            settings.values.set("epsilon", variant == "released-mocap" ? 1.0 : 0.0);
            settings.dual.kind = kind;
            const auto make = [&] { return Descent(settings, {.adam = false}, {}, {}, {1.0, -0.5}, 7); };
            Descent whole = make();
            for (int t = 0; t < 10; ++t) {
                whole.step(0.05, 0.02);
            }
            const auto method = make_method(settings);
            const auto resumed = method->start({.sites = 2, .steps_per_epoch = 7});
            resumed->load(whole.state().save());
            for (Index t = 10; t < 30; ++t) {
                resumed->advance({.step = t, .learning_rate = 0.02, .gamma = whole.gamma(), .u = whole.u()});
                whole.step(0.05, 0.02);
                ASSERT_EQ(resumed->save(), whole.state().save()) << variant << " " << dual_name(kind);
            }
            EXPECT_TRUE(resumed->control().finite());
            std::vector<double> saved = resumed->save();
            saved.pop_back();
            try {
                resumed->load(saved);
                FAIL() << "a state of another length was taken";
            } catch (const Error& error) {
                EXPECT_EQ(error.code(), ExitCode::storage);
            }
        }
    }
}

TEST(Method, a_step_allocates_nothing) {
    for (const char* name : {"strict", "free", "augment", "ace", "ace-resilient"}) {
        const auto method = make_method(named(name));
        const auto state = method->start({.sites = 8});
        const std::vector<double> gamma(8, 1.0);
        const std::vector<double> u(method->sites().slack ? 8 : 0, 0.1);
        std::vector<double> dgamma(8, 0.0);
        std::vector<double> du(u.size(), 0.0);
        const long before = test_support::allocations();
        for (Index step = 0; step < 10; ++step) {
            (void)method->primal_terms({gamma, u, state->control(), dgamma, du});
            state->advance({.step = step, .learning_rate = 1e-3, .gamma = gamma, .u = u});
        }
        EXPECT_EQ(test_support::allocations() - before, 0) << name;
    }
}

// A method from outside the library, complete: the gate falls linearly over the epochs.
class Fading : public Method {
public:
    Fading() : Method("fading") {}
    [[nodiscard]] SitePolicy sites() const override { return {.gate = Gate::controlled}; }
    [[nodiscard]] Evaluation primary() const override { return Evaluation::projected; }
    [[nodiscard]] std::unique_ptr<MethodState> start(const Start& start) const override {
        class State : public MethodState {
        public:
            explicit State(const Start& s) : MethodState(s), start_(s) { set(0); }
            void advance(const StepInput& input) override { set(input.step + 1); }

        private:
            void set(Index step) {
                const Index passed = step / start_.steps_per_epoch;
                const auto epoch = static_cast<double>(passed);
                for (double& gamma : control_.gamma()) {
                    gamma = 1 - epoch / static_cast<double>(start_.epochs);
                }
            }
            Start start_;
        };
        return std::make_unique<State>(start);
    }
};

TEST(Method, another_one_is_one_class_and_one_registration) {
    register_method(
        {method_choice("fading", "falls"), [](const MethodSettings&) { return std::make_unique<Fading>(); }});
    const auto method = make_method(named("fading"));
    const auto state = method->start({.sites = 2, .steps_per_epoch = 5, .epochs = 4});
    const Control& control = state->control();
    EXPECT_EQ(control.gamma()[1], 1.0);
    for (Index step = 0; step < 15; ++step) {
        state->advance({.step = step});
    }
    EXPECT_EQ(control.gamma()[0], 0.25);
    EXPECT_THROW(register_method({method_choice("fading", ""), nullptr}), Error);
    EXPECT_THROW(register_method({method_choice("ace", ""), nullptr}), Error);
}

} // namespace
} // namespace tether::methods
