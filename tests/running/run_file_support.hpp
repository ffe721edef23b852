// A small run whose every number follows from its step, so that a reader can check what it finds
// without knowing when the writer was stopped.
#pragma once

#include "tether/run/run_file.hpp"
#include "tether/run/run_file_reader.hpp"

#include <string>
#include <vector>

namespace tether::test {

inline run::RunDescription small_description() {
    run::RunDescription out;
    out.job = "name = \"größe\"\n[train]\nsteps = 1000\n";
    out.job_hash = "0123456789abcdef";
    out.model = "segnn";
    out.method = "ace";
    out.devices = "cpu";
    out.seed = 42;
    out.total_steps = 1000;
    out.parameters_equivariant = 17;
    out.parameters_free = 5;
    out.sites = {"layer1.message1", "layer1.update1", "layer2.update1"};
    out.headline = {"position_mse", "m^2", "mean squared error of positions"};
    out.metrics = {{"mae_projected", "m", "mean absolute error"},
                   {"mae_relaxed", "m", "mean absolute error"}};
    return out;
}

inline double value(Index step, int column) { return static_cast<double>(step) + 0.125 * column; }

inline void append_all(run::RunFileWriter& writer, Index step) {
    writer.append_train(
        {step, value(step, 1), value(step, 2), value(step, 3), value(step, 4), value(step, 5)});
    const std::vector<double> gamma{value(step, 1), value(step, 2), value(step, 3)};
    const std::vector<double> lambda{value(step, 4), value(step, 5), value(step, 6)};
    const std::vector<double> slack{value(step, 7), value(step, 8), value(step, 9)};
    writer.append_constraint(step, gamma, lambda, slack);
    writer.append_timing({step, 1, 2, 3, 4, 5, 6, 7, 8, 36});
    if (step % 5 == 0) {
        writer.append_evaluation(run::Split::validation, step, value(step, 1), value(step, 2),
                                 {{"mae_relaxed", value(step, 3)}});
        writer.append_evaluation(run::Split::test, step, value(step, 4), value(step, 5));
        writer.append_symmetry({step, value(step, 1), value(step, 2), value(step, 3), 0, 0});
        writer.append_sites(step, {gamma, lambda, slack, gamma});
    }
    writer.set_steps(step);
}

// What is wrong with a file that append_all wrote in order from step 1; empty when nothing is.
inline std::string complaint(const run::RunFileReader& reader) {
    const auto steps = reader.steps("/train");
    for (std::size_t i = 0; i < steps.size(); ++i) {
        if (steps[i] != static_cast<Index>(i) + 1) {
            return fmt::format("/train row {} holds step {}", i, steps[i]);
        }
    }
    const auto loss = reader.numbers("/train", "loss");
    for (std::size_t i = 0; i < steps.size(); ++i) {
        if (loss[i] != value(steps[i], 2)) {
            return fmt::format("/train/loss of step {} is {}", steps[i], loss[i]);
        }
    }
    const auto constraint_steps = reader.steps("/constraint");
    const auto slack = reader.numbers("/constraint", "slack");
    for (std::size_t i = 0; i < constraint_steps.size(); ++i) {
        for (int s = 0; s < 3; ++s) {
            if (slack[3 * i + static_cast<std::size_t>(s)] != value(constraint_steps[i], 7 + s)) {
                return fmt::format("/constraint/slack of step {} is wrong", constraint_steps[i]);
            }
        }
    }
    const auto evaluated = reader.steps("/eval/validation");
    const auto relaxed = reader.numbers("/eval/validation", "relaxed");
    for (std::size_t i = 0; i < evaluated.size(); ++i) {
        if (evaluated[i] != 5 * (static_cast<Index>(i) + 1) || relaxed[i] != value(evaluated[i], 2)) {
            return fmt::format("/eval/validation row {} is wrong", i);
        }
    }
    if (reader.rows("/constraint") != reader.rows("/train") ||
        reader.rows("/timing") != reader.rows("/train")) {
        return "tables of one commit differ in length";
    }
    return {};
}

} // namespace tether::test
