// A job: everything that decides what a training run computes, read from TOML and overrides, checked
// against the table of keys (job_keys), with the origin of every value kept for messages.
// Invariants: every key that applies to the chosen data set, model, method and optimisers has a value;
// keys that do not apply have none; resolved() reads back to an equal job with the same hash().
#pragma once

#include "tether/core/settings.hpp"
#include "tether/methods/dual.hpp"
#include "tether/methods/method.hpp"
#include "tether/optimise/optimiser.hpp"
#include "tether/optimise/schedule.hpp"

#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tether::run {

// tf32, bf16: float32, but for matrix products on a device, whose operands are rounded
// (device/tensor_sums.hpp).
enum class Precision { float32, float64, tf32, bf16 };
// Whether numbers are kept as float.
[[nodiscard]] constexpr bool is_single(Precision p) { return p != Precision::float64; }
enum class SumOrder { tree, fast };
enum class CoordinatorPlace { shared, dedicated };

// Every section also answers by name (Settings); what a data set, model or method adds of its own is
// reached only that way: job.model.integer("layers"), job.data.integer("frame_in").
struct DataSection : Settings {
    std::string set;
    std::string file;     // as written; Job::data_file() finds it
    Index train = 0;      // number of training samples, 0: all of the split
    Index validation = 0; // likewise
    Index test = 0;
    Index batch = 0; // global batch, over all ranks and lanes
    bool drop_last = false;
};

struct ModelSection : Settings {
    std::string name;
};

// `ace-resilient` is stored as name "ace" with constraint "resilient"; label() gives the name that
// people use for the pair.
struct MethodSection : Settings {
    std::string name;
    [[nodiscard]] std::string label() const;
};

struct PrimalSection : Settings {
    double lr = 0; // before the schedule
    optimise::OptimiserSettings optimiser;
    optimise::ScheduleSettings schedule;
};

struct DualSection : Settings {
    bool used = false; // the method has multipliers; the rest is meaningless without
    double lr = 0;     // before the schedule
    methods::DualSettings optimiser;
    optimise::ScheduleSettings schedule;
};

struct TrainSection : Settings {
    Index epochs = 0;
    Index steps = 0;          // stop after so many steps even if epochs remain; 0: no limit
    Index evaluate_every = 0; // epochs
    Precision precision = Precision::float32;
    Index equivariance_samples = 0;       // group elements per evaluation, 0: not measured
    Index final_equivariance_samples = 0; // in the evaluation of the best checkpoint
    Index replicas = 1;                   // trainings at once, see replicas.hpp
    std::string replica_key;              // what differs between them
    std::vector<double> replica_values;   // empty: seeds from `seed` on
};

struct ParallelSection : Settings {
    Index lanes = 0; // power of two
    SumOrder order = SumOrder::tree;
    CoordinatorPlace coordinator = CoordinatorPlace::shared;
    Index lanes_at_once = 0; // lanes executed as one, 0: chosen by the program
};

struct LogSection : Settings {
    Index every = 0;                  // steps between rows of /train
    double checkpoint_every_s = 0;    // 0: not by time
    Index checkpoint_every_steps = 0; // 0: not by steps
    Index keep = 0;                   // checkpoints kept beside the best ones
};

class Job {
public:
    std::string name;
    Index seed = 0;
    DataSection data;
    ModelSection model;
    MethodSection method;
    PrimalSection primal;
    DualSection dual;
    TrainSection train;
    ParallelSection parallel;
    LogSection log;

    // What methods::make_method takes.
    [[nodiscard]] methods::MethodSettings method_settings() const;

    // All keys with their values, defaults included, as TOML that parse_job_text reads back.
    [[nodiscard]] std::string resolved() const;
    // SHA-256 (64 hex digits) over the keys that can change the numbers: not name, folders, logging,
    // or how the work is spread. Of the data file its name counts; its content has its own checksum.
    [[nodiscard]] std::string hash() const;
    [[nodiscard]] std::string short_hash() const { return hash().substr(0, 12); }
    [[nodiscard]] std::string folder_name() const { return name + "-" + short_hash(); }

    // Where a value came from: "jobs/a.toml:12", "--set primal.lr" or "default"; "" for keys that do
    // not apply.
    [[nodiscard]] std::string origin(const std::string& full_name) const;
    [[nodiscard]] const std::string& file() const { return file_; } // job file, or "" for text
    // The data file: an absolute path is taken as it is; a relative one is looked for in the current
    // folder, then in the project the job file belongs to (the parent of the outermost folder named
    // `jobs` on its path, else the folder of the job file). Throws Error(data) naming both places.
    [[nodiscard]] std::string data_file() const;
    // The same rule for any path.
    [[nodiscard]] std::vector<std::string> candidates(const std::string& path) const;

private:
    friend class JobReader;
    struct Entry {
        std::string section;
        Key key;
        SettingValue value;
        std::string origin;
    };
    std::vector<Entry> entries_; // in the order of the table
    std::string file_;
};

// Overrides are "section.key=value" as given to --set, later ones win; the value is TOML or a bare
// string. An override of a choosing key (method.name, primal.optimizer, ...) to another word drops the
// file's keys that belong to the former choice, so that `--set method.name=x` works on any job.
// Throw Error(usage), with file and line, what was found and what was expected.
[[nodiscard]] Job read_job(const std::string& path, std::span<const std::string> overrides = {});
[[nodiscard]] Job parse_job_text(const std::string& text, const std::string& source,
                                 std::span<const std::string> overrides = {});

} // namespace tether::run
