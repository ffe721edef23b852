// The pure functions of the constraint and the dual optimiser: gradients against differences of the
// loss, nupi against its formula, clamping, what happens to numbers that are none.
#include "tests/methods/primal.hpp"
#include "tether/core/error.hpp"
#include "tether/core/philox.hpp"
#include "tether/methods/constraint.hpp"
#include "tether/methods/dual.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace tether::methods {
namespace {

using test_support::Descent;

std::vector<ConstraintForm> all_forms() {
    std::vector<ConstraintForm> forms;
    for (const bool mean : {false, true}) {
        for (const double augmented : {0.0, 0.7}) {
            forms.push_back(constraint_form({.augmented = augmented, .mean = mean}, 5));
            forms.push_back(constraint_form({.epsilon = 0.3, .augmented = augmented, .mean = mean}, 5));
            forms.push_back(constraint_form(
                {.kind = ConstraintKind::resilient, .rho = 1.7, .augmented = augmented, .mean = mean}, 5));
        }
    }
    forms.push_back(constraint_form({.kind = ConstraintKind::released_nbody, .rho = 1.7}, 5));
    forms.push_back(constraint_form({.kind = ConstraintKind::released_qm9, .rho = 1.7}, 5));
    forms.push_back(constraint_form({.kind = ConstraintKind::released_mocap, .epsilon = 0.3}, 5));
    forms.push_back(constraint_form({.kind = ConstraintKind::released_mocap}, 5));
    return forms;
}

TEST(Constraint, gradients_are_those_of_its_loss) {
    RandomStream random(1, Purpose::test);
    for (const ConstraintForm& form : all_forms()) {
        for (int draw = 0; draw < 20; ++draw) {
            const double gamma = 2 * random.uniform() - 1 + (draw % 2 == 0 ? 0.1 : -0.1);
            const double u = random.normal();
            const double lambda = random.normal();
            const double bound = random.normal();
            const double h = 1e-6;
            const auto loss = [&](double g, double v, double l) {
                return site_terms(form, g, v, l, bound).loss;
            };
            const SiteTerms terms = site_terms(form, gamma, u, lambda, bound);
            const std::string what = constraint_name(form.kind) + " gamma " + std::to_string(gamma);
            EXPECT_NEAR(terms.dgamma, (loss(gamma + h, u, lambda) - loss(gamma - h, u, lambda)) / (2 * h),
                        1e-8)
                << what;
            if (form.has_slack()) {
                EXPECT_NEAR(terms.du, (loss(gamma, u + h, lambda) - loss(gamma, u - h, lambda)) / (2 * h),
                            1e-8)
                    << what;
            } else {
                EXPECT_EQ(terms.du, 0);
            }
            // The dual climbs the loss; the released forms with slacks do not quite (|gamma| - 2u).
            const double climb = (loss(gamma, u, lambda + h) - loss(gamma, u, lambda - h)) / (2 * h);
            const bool own =
                form.kind == ConstraintKind::released_nbody || form.kind == ConstraintKind::released_qm9;
            EXPECT_NEAR(form.weight * terms.violation, climb - (own ? u : 0.0), 1e-8) << what;
        }
        const SiteTerms at_zero = site_terms(form, 0, 0.5, 0.3, 0.2);
        if (form.kind != ConstraintKind::equality && form.epsilon == 0 &&
            form.kind != ConstraintKind::released_mocap) {
            EXPECT_EQ(at_zero.dgamma, 0) << "sign 0 = 0";
        }
    }
}

TEST(Constraint, sums_over_sites_and_adds_to_what_is_there) {
    const ConstraintForm form = constraint_form({.kind = ConstraintKind::resilient}, 2);
    const std::vector<double> gamma{0.5, -2};
    const std::vector<double> u{0.1, 0.2};
    const std::vector<double> lambda{3, 5};
    std::vector<double> dgamma{10, 20};
    std::vector<double> du{30, 40};
    const double loss = add_constraint_terms(form, gamma, u, lambda, {}, dgamma, du);
    EXPECT_DOUBLE_EQ(loss, 3 * 0.4 + 5 * 1.8 + 0.5 * (0.01 + 0.04));
    EXPECT_DOUBLE_EQ(dgamma[0], 13);
    EXPECT_DOUBLE_EQ(dgamma[1], 15);
    EXPECT_DOUBLE_EQ(du[0], 30 + 0.1 - 3);
    EXPECT_DOUBLE_EQ(du[1], 40 + 0.2 - 5);
    std::vector<double> violation(2);
    constraint_violation(form, gamma, u, {}, violation);
    EXPECT_DOUBLE_EQ(violation[0], 0.4);
    EXPECT_DOUBLE_EQ(violation[1], 1.8);
    EXPECT_THROW(constraint_violation(form, gamma, {}, {}, violation), Error);
    EXPECT_THROW((void)add_constraint_terms(form, gamma, u, {}, {}, dgamma, du), Error);
}

std::string message_of(const ConstraintSettings& settings, Index sites = 4) {
    try {
        (void)constraint_form(settings, sites);
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::usage);
        return error.what();
    }
    return {};
}

TEST(Constraint, refuses_what_means_nothing) {
    EXPECT_EQ(message_of({}), "");
    EXPECT_EQ(message_of({.is_signed = true}), "");
    EXPECT_EQ(message_of({.kind = ConstraintKind::resilient, .is_signed = false}), "");
    EXPECT_NE(message_of({.kind = ConstraintKind::resilient, .is_signed = true}).find("resilient"),
              std::string::npos);
    EXPECT_NE(message_of({.epsilon = 0.1, .is_signed = true}).find("0.1"), std::string::npos);
    EXPECT_NE(message_of({.is_signed = false}).find("equality"), std::string::npos);
    EXPECT_NE(message_of({.kind = ConstraintKind::resilient, .epsilon = 0.1}).find("epsilon"),
              std::string::npos);
    EXPECT_NE(message_of({.kind = ConstraintKind::released_qm9, .augmented = 0.5}).find("augmented"),
              std::string::npos);
    EXPECT_NE(message_of({.kind = ConstraintKind::released_nbody, .mean = true}).find("mean"),
              std::string::npos);
    EXPECT_NE(message_of({.epsilon = -0.1}).find("-0.1"), std::string::npos);
    EXPECT_NE(message_of({.rho = 0}).find("rho"), std::string::npos);
    EXPECT_NE(message_of({.augmented = std::nan("")}).find("nan"), std::string::npos);
    EXPECT_NE(message_of({}, 0).find("sites"), std::string::npos);
    EXPECT_THROW((void)constraint_kind("resiliant"), Error);
    for (const std::string& name : constraint_names()) {
        EXPECT_EQ(constraint_name(constraint_kind(name)), name);
    }
}

TEST(Dual, nupi_follows_its_formula) {
    const DualSettings settings{.kind = DualKind::nupi, .nu = 0.6, .proportional = 7, .integral = 0.5};
    std::vector<double> lambda{0.25};
    std::vector<double> state(dual_state_size(settings.kind, 1));
    double expected = 0.25;
    double smoothed = 0;
    for (int t = 0; t < 30; ++t) {
        const double e = std::cos(0.7 * t) + 0.2;
        const double before = t == 0 ? e : smoothed; // xi_{-1} = e_0
        smoothed = 0.6 * before + 0.4 * e;
        expected += 0.01 * (0.5 * e + 7 * (smoothed - before));
        advance_dual(settings, false, 0.01, std::vector<double>{e}, lambda, state);
        EXPECT_NEAR(lambda[0], expected, 1e-14) << t;
        if (t == 0) {
            EXPECT_EQ(lambda[0], 0.25 + 0.01 * (0.5 * e)) << "the first step is gradient ascent";
        }
    }
}

TEST(Dual, nupi_without_proportional_part_is_sgd_bit_for_bit) {
    for (const bool clamped : {false, true}) {
        const DualSettings sgd{.kind = DualKind::sgd};
        const DualSettings nupi{.kind = DualKind::nupi, .nu = 0.3, .proportional = 0, .integral = 1};
        std::vector<double> a(3, 0.0);
        std::vector<double> b(3, 0.0);
        std::vector<double> state_a(dual_state_size(sgd.kind, 3));
        std::vector<double> state_b(dual_state_size(nupi.kind, 3));
        RandomStream random(2, Purpose::test);
        for (int t = 0; t < 1000; ++t) {
            const std::vector<double> e{random.normal() + 0.5, random.normal(), random.normal() - 0.5};
            advance_dual(sgd, clamped, 3e-3, e, a, state_a);
            advance_dual(nupi, clamped, 3e-3, e, b, state_b);
            ASSERT_EQ(a, b) << t;
        }
        EXPECT_GT(a[0], 1);
        EXPECT_EQ(a[2] < 0, !clamped); // driven down: held at 0 and above, or free to go
    }
}

TEST(Dual, clamping_leaves_the_moments_alone) {
    const DualSettings adam{};
    std::vector<double> free{0};
    std::vector<double> held{0};
    std::vector<double> state_free(dual_state_size(adam.kind, 1));
    std::vector<double> state_held = state_free;
    for (int t = 0; t < 20; ++t) {
        const std::vector<double> e{t < 10 ? -1.0 : 0.5};
        advance_dual(adam, false, 1e-2, e, free, state_free);
        advance_dual(adam, true, 1e-2, e, held, state_held);
        EXPECT_EQ(state_free, state_held);
        EXPECT_GE(held[0], 0);
    }
    EXPECT_LT(free[0], 0);
}

TEST(Dual, a_number_that_is_none_stays_visible) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    for (const DualKind kind : {DualKind::sgd, DualKind::adam, DualKind::nupi}) {
        std::vector<double> lambda{0.5, 0.5};
        std::vector<double> state(dual_state_size(kind, 2));
        advance_dual({.kind = kind}, true, 0.1, std::vector<double>{nan, 1}, lambda, state);
        EXPECT_TRUE(std::isnan(lambda[0])) << dual_name(kind);
        EXPECT_FALSE(std::isnan(lambda[1])) << dual_name(kind);
    }
}

TEST(Dual, settings_are_checked_with_the_value_found) {
    const auto message = [](const DualSettings& settings) -> std::string {
        try {
            check_settings(settings);
        } catch (const Error& error) {
            return error.what();
        }
        return {};
    };
    EXPECT_EQ(message({}), "");
    EXPECT_NE(message({.beta1 = 1}).find("beta1 is 1"), std::string::npos);
    EXPECT_NE(message({.beta2 = -0.5}).find("beta2 is -0.5"), std::string::npos);
    EXPECT_NE(message({.nu = 1}).find("nu is 1"), std::string::npos);
    EXPECT_NE(message({.proportional = -1}).find("-1"), std::string::npos);
    EXPECT_NE(message({.integral = std::nan("")}).find("nan"), std::string::npos);
    EXPECT_NE(message({.kind = DualKind::nupi, .weight_decay = 0.1}).find("nupi"), std::string::npos);
    try {
        (void)dual_kind("adm");
        FAIL();
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("adam"), std::string::npos);
    }
}

// methods.md 1.5: without curvature Adam keeps a limit cycle and SGD grows; nupi damps both.
TEST(Dual, nupi_damps_the_flat_task) {
    struct Case {
        double lr, dual_lr, gain;
        bool adam;
        std::size_t sites;
    };
    for (const Case& c :
         {Case{9e-4, 8e-4, 300, true, 1}, Case{6e-4, 1e-2, 300, true, 1}, Case{1e-3, 1e-3, 300, true, 1},
          Case{5e-4, 2e-4, 300, true, 1}, Case{0.1, 1e-4, 1000, false, 14}}) {
        const auto tail = [&](DualKind kind) {
            MethodSettings settings;
            settings.name = "ace";
            settings.dual.kind = kind;
            settings.dual.proportional = c.gain;
            settings.dual.mean = c.sites > 1;
            Descent run(settings, {.adam = c.adam}, {}, {}, std::vector<double>(c.sites, 1.0));
            double largest = 0;
            for (int t = 0; t < 20000; ++t) {
                run.step(c.lr, c.dual_lr);
                if (t >= 15000) {
                    largest = std::max(largest, std::abs(run.gamma()[0]));
                }
            }
            return largest;
        };
        EXPECT_GT(tail(c.adam ? DualKind::adam : DualKind::sgd), 0.15) << c.lr;
        EXPECT_LT(tail(DualKind::nupi), 0.01) << c.lr;
    }
}

} // namespace
} // namespace tether::methods
