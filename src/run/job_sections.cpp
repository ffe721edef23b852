#include "src/run/job_sections.hpp"

#include <algorithm>

namespace tether::run {
namespace {

using Keys = std::vector<Key>;

std::string power_of_two(const SettingValue& value) {
    const Index n = std::get<Index>(value);
    return n > 0 && (n & (n - 1)) == 0 ? "" : "a power of two";
}

std::string power_of_two_or_zero(const SettingValue& value) {
    return std::get<Index>(value) == 0 ? "" : power_of_two(value);
}

std::string increasing(const SettingValue& value) {
    const auto& list = std::get<std::vector<double>>(value);
    return std::ranges::adjacent_find(list, std::ranges::greater_equal{}) == list.end()
               ? ""
               : "values in increasing order";
}

std::string folder_word(const SettingValue& value) {
    const auto& text = std::get<std::string>(value);
    const auto plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
               c == '_' || c == '.';
    };
    const bool good = !text.empty() && text.size() <= 100 && text.front() != '.' && text.front() != '-' &&
                      std::ranges::all_of(text, plain);
    return good ? "" : "1 to 100 letters, digits, '-', '_' or '.', not starting with '-' or '.'";
}

std::string not_empty(const SettingValue& value) {
    return std::get<std::string>(value).empty() ? "a text that is not empty" : "";
}

Keys top_keys() {
    return {{.name = "schema_version",
             .kind = Kind::integer,
             .standard = job_schema_version,
             .meaning = "version of these keys; newer files need a newer program",
             .low = 1,
             .high = static_cast<double>(job_schema_version)},
            {.name = "name",
             .kind = Kind::text,
             .meaning = "name of the run, first part of its folder",
             .derived = "the job file's name without .toml",
             .numeric = false,
             .demand = folder_word},
            {.name = "seed",
             .kind = Kind::integer,
             .standard = Index{42},
             .meaning = "of initial weights, sample order and random group elements",
             .low = 0,
             .high = 9007199254740992.0}}; // 2^53: exact in every language that reads a run file
}

Keys data_keys() {
    return {{.name = "set", .kind = Kind::text, .meaning = "data set"},
            {.name = "file",
             .kind = Kind::text,
             .meaning = "HDF5 file, from the current folder or else from the job's project",
             .numeric = false,
             .demand = not_empty},
            {.name = "train",
             .kind = Kind::integer,
             .standard = Index{0},
             .meaning = "training samples, the first of the split; 0: all",
             .low = 0,
             .high = 1e12},
            {.name = "validation",
             .kind = Kind::integer,
             .standard = Index{0},
             .meaning = "validation samples, the first of the split; 0: all",
             .low = 0,
             .high = 1e12},
            {.name = "test",
             .kind = Kind::integer,
             .standard = Index{0},
             .meaning = "test samples, the first of the split; 0: all",
             .low = 0,
             .high = 1e12},
            {.name = "batch",
             .kind = Kind::integer,
             .standard = Index{100},
             .meaning = "samples per step over all ranks and lanes",
             .low = 1,
             .high = 1e9},
            {.name = "drop_last",
             .kind = Kind::boolean,
             .standard = false,
             .meaning = "leave out the last batch of an epoch where it is not full"}};
}

// Keys that primal and dual optimisers share; `section` is one of them.
Keys rate_keys(const std::string& section, double lr) {
    const std::string schedule = section + ".schedule";
    return {
        {.name = "lr", .kind = Kind::real, .standard = lr, .meaning = "learning rate", .low = 0, .high = 1e6},
        {.name = "betas",
         .kind = Kind::reals,
         .standard = std::vector<double>{0.9, 0.999},
         .meaning = "decay of the two moments",
         .low = 0,
         .high = 0.9999999999,
         .entries = 2,
         .when = {{section + ".optimizer", {"adam"}}}},
        {.name = "eps",
         .kind = Kind::real,
         .standard = 1e-8,
         .meaning = "added to the root of the second moment",
         .low = 0,
         .high = 1,
         .when = {{section + ".optimizer", {"adam"}}}},
        {.name = "weight_decay",
         .kind = Kind::real,
         .standard = 0.0,
         .meaning = "L2: this times the value is added to the gradient",
         .low = 0,
         .high = 1e6},
        {.name = "schedule",
         .kind = Kind::text,
         .standard = std::string("constant"),
         .meaning = "of the learning rate over the epochs",
         .words = {"constant", "cosine", "step", "milestones"}},
        {.name = "lr_final",
         .kind = Kind::real,
         .standard = 0.0,
         .meaning = "learning rate at the end of the last epoch",
         .low = 0,
         .high = 1e6,
         .when = {{schedule, {"cosine"}}}},
        {.name = "decay_factor",
         .kind = Kind::real,
         .standard = 0.1,
         .meaning = "what the learning rate is multiplied by",
         .low = 0,
         .high = 1,
         .when = {{schedule, {"step", "milestones"}}}},
        {.name = "decay_every",
         .kind = Kind::integer,
         .standard = Index{20},
         .meaning = "between two decays",
         .unit = "epochs",
         .low = 1,
         .high = 1e9,
         .when = {{schedule, {"step"}}}},
        {.name = "decay_at",
         .kind = Kind::reals,
         .standard = std::vector<double>{0.8, 0.9},
         .meaning = "fractions of the epochs after which the rate decays",
         .low = 0,
         .high = 1,
         .when = {{schedule, {"milestones"}}},
         .demand = increasing},
        {.name = "schedule_ahead",
         .kind = Kind::boolean,
         .standard = false,
         .meaning = "epoch e has the rate of epoch e + 1 (code that steps its schedule first)",
         .when = {{schedule, {"cosine", "step", "milestones"}}}}};
}

Keys primal_keys() {
    Keys keys = {{.name = "optimizer",
                  .kind = Kind::text,
                  .standard = std::string("adam"),
                  .meaning = "of weights, gates and slacks",
                  .words = {"adam", "sgd"}}};
    std::ranges::move(rate_keys("primal", 9e-4), std::back_inserter(keys));
    keys.push_back({.name = "momentum",
                    .kind = Kind::real,
                    .standard = 0.0,
                    .meaning = "of plain gradient steps",
                    .low = 0,
                    .high = 0.9999999999,
                    .when = {{"primal.optimizer", {"sgd"}}}});
    keys.push_back({.name = "clip_norm",
                    .kind = Kind::real,
                    .standard = 0.0,
                    .meaning = "largest global norm of the gradient (gates and slacks included); 0: off",
                    .low = 0,
                    .high = 1e12});
    return keys;
}

Keys dual_keys() {
    Keys keys = {{.name = "optimizer",
                  .kind = Kind::text,
                  .standard = std::string("adam"),
                  .meaning = "of the multipliers",
                  .words = {"sgd", "adam", "nupi"}}};
    std::ranges::move(rate_keys("dual", 8e-4), std::back_inserter(keys));
    const std::vector<Condition> nupi = {{"dual.optimizer", {"nupi"}}};
    keys.push_back({.name = "ki",
                    .kind = Kind::real,
                    .standard = 1.0,
                    .meaning = "integral gain",
                    .low = 0,
                    .high = 1e6,
                    .when = nupi});
    keys.push_back({.name = "kp",
                    .kind = Kind::real,
                    .standard = 300.0, // damps the oscillation at all published rates
                    .meaning = "proportional gain; 0 with ki = 1 is sgd",
                    .low = 0,
                    .high = 1e6,
                    .when = nupi});
    keys.push_back({.name = "nu",
                    .kind = Kind::real,
                    .standard = 0.0,
                    .meaning = "smoothing of the violation",
                    .low = 0,
                    .high = 0.9999999999,
                    .when = nupi});
    keys.push_back({.name = "scale",
                    .kind = Kind::text,
                    .standard = std::string("sum"),
                    .meaning = "multiplier terms of the loss: their sum, or divided by the number of sites",
                    .words = {"sum", "mean"}});
    keys.push_back({.name = "signed",
                    .kind = Kind::boolean,
                    .meaning = "multipliers of either sign; false: kept >= 0",
                    .derived = "true for constraint equality with epsilon 0",
                    .implied = true});
    for (Key& key : keys) {
        key.needs = "dual";
        if (key.name == "weight_decay") {
            key.when = {{"dual.optimizer", {"sgd", "adam"}}};
        }
    }
    return keys;
}

Keys train_keys() {
    return {
        {.name = "epochs",
         .kind = Kind::integer,
         .standard = Index{2000},
         .meaning = "passes over the training samples",
         .low = 1,
         .high = 1e9},
        {.name = "steps",
         .kind = Kind::integer,
         .standard = Index{0},
         .meaning = "end after so many steps even if epochs remain; 0: no limit",
         .low = 0,
         .high = 1e15},
        {.name = "evaluate_every",
         .kind = Kind::integer,
         .standard = Index{5},
         .meaning = "between two evaluations on validation and test",
         .unit = "epochs",
         .low = 1,
         .high = 1e9},
        {.name = "precision",
         .kind = Kind::text,
         .standard = std::string("float32"),
         .meaning = "of parameters and arithmetic; tf32, bf16: float32, with rounded products on a device",
         .words = {"float32", "float64", "tf32", "bf16"}},
        {.name = "equivariance_samples",
         .kind = Kind::integer,
         .standard = Index{3},
         .meaning = "random group elements of the equivariance error at an evaluation; 0: not measured",
         .low = 0,
         .high = 1e6},
        {.name = "replicas",
         .kind = Kind::integer,
         .standard = Index{1},
         .meaning = "trainings at once in one process, each a run of its own",
         .low = 1,
         .high = 4096,
         .numeric = false},
        {.name = "replica_key",
         .kind = Kind::text,
         .standard = std::string("seed"),
         .meaning = "what differs between replicas: a key of the job",
         .numeric = false,
         .demand = not_empty},
        {.name = "replica_values",
         .kind = Kind::reals,
         .standard = std::vector<double>{},
         .meaning = "its values, one per replica; none: seed, seed + 1, ...",
         .numeric = false},
        {.name = "final_equivariance_samples",
         .kind = Kind::integer,
         .standard = Index{100},
         .meaning = "the same for the best checkpoints at the end",
         .low = 0,
         .high = 1e6}};
}

Keys parallel_keys() {
    return {{.name = "lanes",
             .kind = Kind::integer,
             .standard = Index{8},
             .meaning = "fixed shards of the batch; sums are taken over them",
             .low = 1,
             .high = 4096,
             .demand = power_of_two},
            {.name = "order",
             .kind = Kind::text,
             .standard = std::string("tree"),
             .meaning = "of sums: tree is bitwise the same for any ranks and threads",
             .words = {"tree", "fast"}},
            {.name = "coordinator",
             .kind = Kind::text,
             .standard = std::string("shared"),
             .meaning = "a thread of rank 0, or a rank of its own",
             .words = {"shared", "dedicated"},
             .numeric = false},
            {.name = "lanes_at_once",
             .kind = Kind::integer,
             .standard = Index{0},
             .meaning = "lanes executed as one; 0: chosen by the program",
             .low = 0,
             .high = 4096,
             .numeric = false,
             .demand = power_of_two_or_zero}};
}

Keys log_keys() {
    return {{.name = "every",
             .kind = Kind::integer,
             .standard = Index{30},
             .meaning = "between two rows of the run file",
             .unit = "steps",
             .low = 1,
             .high = 1e9,
             .numeric = false},
            {.name = "checkpoint_every_s",
             .kind = Kind::real,
             .standard = 300.0,
             .meaning = "between two checkpoints; 0: not by time",
             .unit = "s",
             .low = 0,
             .high = 1e9,
             .numeric = false},
            {.name = "checkpoint_every_steps",
             .kind = Kind::integer,
             .standard = Index{0},
             .meaning = "between two checkpoints; 0: not by steps",
             .unit = "steps",
             .low = 0,
             .high = 1e15,
             .numeric = false},
            {.name = "keep",
             .kind = Kind::integer,
             .standard = Index{2},
             .meaning = "newest checkpoints kept, beside the best ones",
             .low = 1,
             .high = 1000,
             .numeric = false}};
}

} // namespace

std::vector<Key> keys_of(const std::string& section) {
    if (section == "data") {
        return data_keys();
    }
    if (section == "model") {
        return {{.name = "name", .kind = Kind::text, .meaning = "network"}};
    }
    if (section == "method") {
        return {{.name = "name", .kind = Kind::text, .meaning = "how the degree of symmetry is decided"}};
    }
    if (section == "primal") {
        return primal_keys();
    }
    if (section == "dual") {
        return dual_keys();
    }
    if (section == "train") {
        return train_keys();
    }
    if (section == "parallel") {
        return parallel_keys();
    }
    if (section == "log") {
        return log_keys();
    }
    return top_keys();
}

} // namespace tether::run
