// A run read back: its job, network and the numbers of one checkpoint, for evaluation, export and for
// programs that use a trained network. Reads checkpoints only: a run that is being written stays
// undisturbed. And its opposite, a run folder made from weights.
//
//     const tether::run::StoredRun run("runs/segnn-ace-0123456789ab");
//     const auto set = run.open_data();
//     const auto prediction = run.predict(set, std::vector<tether::Index>{0});
#pragma once

#include "tether/data/graph_set.hpp"
#include "tether/run/checkpoint_folder.hpp"
#include "tether/run/evaluation.hpp"
#include "tether/run/weights.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tether::run {

// The one run folder that a path names: the folder, its run.h5, or a folder with a single run in it.
// None or several: Error(usage) that says what was found.
[[nodiscard]] std::string the_run(const std::string& path);

// Job of a run folder: job.toml, or the copy in run.h5 where that is gone. With a data file that is
// found: as the job names it, or where training found it.
[[nodiscard]] Job stored_job(const std::string& folder, const std::string& data_file = {});

[[nodiscard]] bool data_file_found(const Job& job);

// Of all sites, at the checkpoint; u empty where the method has no slack.
struct SiteNumbers {
    std::vector<double> lambda, u;
};

class StoredRun {
public:
    // kind: which checkpoint; without one the best of the method's primary evaluation. Error(data)
    // where there is no such checkpoint (yet), saying what to do.
    explicit StoredRun(const std::string& run, std::optional<CheckpointKind> kind = {},
                       const std::string& data_file = {});

    [[nodiscard]] const std::string& folder() const { return folder_; }
    [[nodiscard]] const std::string& checkpoint() const { return checkpoint_; } // path of its file
    [[nodiscard]] Index step() const { return step_; }
    [[nodiscard]] const Job& job() const { return job_; }
    [[nodiscard]] const Network& network() const { return *network_; }
    [[nodiscard]] const NetworkNumbers& numbers() const { return numbers_; }
    [[nodiscard]] const SiteNumbers& sites() const { return sites_; } // gates: numbers().gates
    [[nodiscard]] Mode primary() const { return primary_; }

    // The numbers as the job's programs take them.
    template <class T>
    [[nodiscard]] std::vector<T> trained() const {
        return {numbers_.trained.begin(), numbers_.trained.end()};
    }
    template <class T>
    [[nodiscard]] std::vector<T> state() const {
        return {numbers_.state.begin(), numbers_.state.end()};
    }

    [[nodiscard]] data::GraphSet open_data() const;
    // Rows of the prediction, sample after sample, in the precision of the job; columns as the target.
    // Without a mode: the primary evaluation of the method.
    [[nodiscard]] std::vector<double> predict(const data::GraphSet& set, const std::vector<Index>& samples,
                                              std::optional<Mode> mode = {}) const;

private:
    template <class T>
    void load(const Checkpoint& checkpoint);
    template <class T>
    [[nodiscard]] std::vector<double> predict_as(const data::GraphSet& set, const std::vector<Index>& samples,
                                                 Mode mode) const;

    std::string folder_, checkpoint_;
    Job job_;
    std::unique_ptr<methods::Method> method_;
    std::unique_ptr<Network> network_;
    NetworkNumbers numbers_;
    SiteNumbers sites_;
    Index step_ = 0;
    Mode primary_ = Mode::projected;
};

// Makes the run folder of a job, with a checkpoint at step 0 that holds these weights, zero moments
// and a fresh state of the method: `tether train` goes on from it. Returns the folder. Error(usage)
// where there is one already; nothing is made before the weights have been checked.
[[nodiscard]] std::string import_run(const Job& job, const std::string& weights, const std::string& runs);

} // namespace tether::run
