// One function per model or method, and the table of data sets; built_in_choices() is the registry. A
// new one is a function returning its Choice and one line below.
#include "job_choices.hpp"

#include "tether/core/error.hpp"
#include "tether/data/data_sets.hpp"
#include "tether/symmetry/irreps.hpp"

namespace tether::run {
namespace {

Key layers(Index standard) {
    return {.name = "layers",
            .kind = Kind::integer,
            .standard = standard,
            .meaning = "message-passing layers",
            .low = 1,
            .high = 64};
}

// Equal networks have equal hashes, however their irreps are written.
std::string hidden_irreps(const std::string& text) {
    const symmetry::Irreps irreps = symmetry::Irreps::parse(text);
    check(!irreps.empty() && irreps.dim() <= 4096, "{} columns, expected 1 .. 4096", irreps.dim());
    check(irreps.lmax() <= symmetry::max_degree, "degree {}, expected at most {}", irreps.lmax(),
          symmetry::max_degree);
    return irreps.to_string();
}

Choice segnn() {
    return {.chooser = "model.name",
            .word = "segnn",
            .meaning = "steerable E(3) message passing; sites: two per layer",
            .keys = {{.name = "hidden",
                      .kind = Kind::text,
                      .standard = std::string("32x0e+32x1o"),
                      .meaning = "irreps of the hidden node features",
                      .canonical = hidden_irreps},
                     layers(4),
                     {.name = "lmax_attr",
                      .kind = Kind::integer,
                      .standard = Index{1},
                      .meaning = "highest degree of the spherical harmonics of edges and nodes",
                      .low = 0,
                      .high = 6},
                     {.name = "harmonics",
                      .kind = Kind::text,
                      .standard = std::string("integral"),
                      .meaning = "normalisation of the spherical harmonics",
                      .words = {"integral", "component", "norm"}},
                     {.name = "norm",
                      .kind = Kind::text,
                      .standard = std::string("none"),
                      .meaning = "normalisation after each layer",
                      .words = {"none", "instance"}}}};
}

Choice egnn() {
    return {.chooser = "model.name",
            .word = "egnn",
            .meaning = "E(n) message passing on distances, with velocities; sites: two per layer",
            .keys = {{.name = "hidden",
                      .kind = Kind::integer,
                      .standard = Index{64},
                      .meaning = "width of node features and messages",
                      .low = 1,
                      .high = 4096},
                     layers(4)}};
}

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
    std::vector<Choice> choices{segnn(), egnn(), strict(), free_branch(), augment(), ace(), ace_resilient()};
    for (const data::DataSet& set : data::data_sets()) {
        choices.push_back(set.choice);
    }
    return choices;
}

} // namespace tether::run
