// The words of a job: models and data sets from their own tables, one function per method here.
#include "job_choices.hpp"

#include "tether/data/data_sets.hpp"
#include "tether/models/registry.hpp"

namespace tether::run {
namespace {

Key gate_initial() {
    return {.name = "gate_initial",
            .kind = Kind::real,
            .standard = 1.0,
            .meaning = "value of every gate before the first step",
            .low = -100,
            .high = 100};
}

Choice strict() {
    return {.chooser = "method.name",
            .word = "strict",
            .meaning = "exactly equivariant network, no free branches"};
}

Choice free_branch() {
    return {.chooser = "method.name",
            .word = "free",
            .meaning = "free branches with gates of 1 and no constraint",
            .keys = {gate_initial(),
                     {.name = "gate_trained",
                      .kind = Kind::boolean,
                      .standard = false,
                      .meaning = "train the gates, still without a constraint"}}};
}

Choice augment() {
    return {.chooser = "method.name",
            .word = "augment",
            .meaning = "as free, inputs and targets of every sample rotated at random"};
}

Choice remul() {
    const Condition constant{"method.policy", {"constant"}};
    const Condition gradual{"method.policy", {"gradual"}};
    const Key beta{.name = "beta",
                   .kind = Kind::real,
                   .standard = 1.0,
                   .meaning = "weight of the loss on turned samples (gradual: in the first step)",
                   .low = 0,
                   .high = 1e6,
                   .when = {constant}};
    Key first = beta;
    first.low = 1e-3;
    first.when = {gradual};
    return {.chooser = "method.name",
            .word = "remul",
            .meaning = "unconstrained network, equivariance as a second task",
            .keys = {{.name = "policy",
                      .kind = Kind::text,
                      .standard = std::string("constant"),
                      .meaning = "weights of the tasks: constant, or balanced by their gradients (GradNorm)",
                      .words = {"constant", "gradual"}},
                     {.name = "alpha",
                      .kind = Kind::real,
                      .standard = 1.0,
                      .meaning = "weight of the loss on the samples as they are",
                      .low = 0,
                      .high = 1e6,
                      .when = {constant}},
                     beta,
                     first}};
}

Choice ace() {
    const auto equality = Condition{"method.constraint", {"equality"}};
    const auto resilient = Condition{"method.constraint", {"resilient"}};
    const auto specified = Condition{"method.variant", {"specified"}};
    const Key epsilon{.name = "epsilon",
                      .kind = Kind::real,
                      .standard = 0.0,
                      .meaning = "tolerated |gate|; > 0: slack |gate| - epsilon, multipliers >= 0",
                      .low = 0,
                      .high = 100};
    const Key augmented{.name = "augmented",
                        .kind = Kind::real,
                        .standard = 0.0,
                        .meaning = "weight c of the term c * sum of slack^2 in the loss",
                        .low = 0,
                        .high = 1e6};
    const auto with = [](Key key, std::vector<Condition> when) {
        key.when = std::move(when);
        return key;
    };
    return {
        .chooser = "method.name",
        .word = "ace",
        .meaning = "trained gates held to zero (or to a slack) by multipliers",
        .keys = {{.name = "constraint",
                  .kind = Kind::text,
                  .standard = std::string("equality"),
                  .meaning = "gate = 0, or |gate| <= u with a trained slack u",
                  .words = {"equality", "resilient"}},
                 {.name = "variant",
                  .kind = Kind::text,
                  .standard = std::string("specified"),
                  .meaning = "resilient form; released-*: as in published code, for comparison only",
                  .words = {"specified", "released-nbody", "released-qm9", "released-mocap"},
                  .when = {resilient}},
                 {.name = "rho",
                  .kind = Kind::real,
                  .standard = 1.0,
                  .meaning = "weight of the slack penalty rho/2 |u|^2",
                  .low = 1e-12,
                  .high = 1e12,
                  .when = {resilient, {"method.variant", {"specified", "released-nbody", "released-qm9"}}}},
                 with(epsilon, {equality}),
                 with(epsilon, {resilient, {"method.variant", {"released-mocap"}}}),
                 with(augmented, {equality}),
                 with(augmented, {resilient, specified}),
                 gate_initial()},
        .brings = {"dual"}};
}

// Read as ace with constraint = "resilient" (job_reader), so that both spellings are one job.
Choice ace_resilient() {
    return {
        .chooser = "method.name", .word = "ace-resilient", .meaning = "ace with constraint = \"resilient\""};
}

} // namespace

std::vector<Choice> built_in_choices() {
    std::vector<Choice> choices{strict(), free_branch(), augment(), remul(), ace(), ace_resilient()};
    for (const models::ModelEntry& model : models::model_table()) {
        choices.push_back(model.choice);
    }
    for (const data::DataSet& set : data::data_sets()) {
        choices.push_back(set.choice);
    }
    return choices;
}

} // namespace tether::run
