// Writes `run.h5` (layout: run_file_layout.hpp) so that a reader may look at any time and a kill at
// any time leaves a readable file: all objects and attributes exist before writing under SWMR
// starts, tables only grow, and commit() flushes the columns first and the count of whole rows last.
// A file that was being written is never opened for writing again: going on after a stop, and
// closing with the final attributes, copy the rows into a new file that takes the old one's place.
#pragma once

#include "tether/methods/site_measure.hpp"
#include "tether/run/run_file_layout.hpp"

#include <map>
#include <memory>
#include <span>
#include <string>

namespace tether::run {

enum class Split { validation, test, out_of_distribution };

struct TrainRow {
    Index step = 0;
    double epoch = 0;
    double loss = 0;
    double learning_rate = 0;
    double gradient_norm = 0;
    double wall_s = 0;
};

struct TimingRow { // seconds since the last row
    Index step = 0;
    double data = 0;
    double forward = 0;
    double backward = 0;
    double reduce = 0;
    double optimise = 0;
    double coordinator = 0;
    double evaluate = 0;
    double checkpoint = 0;
    double total = 0;
};

struct SymmetryRow {
    Index step = 0;
    double error_mean = 0; // of the network as trained
    double error_max = 0;
    double bound = 0;
    double projected_error_mean = 0; // at gamma = 0
    double projected_error_max = 0;
};

class RunFileWriter {
public:
    using Extra = std::map<std::string, double>; // declared metrics by name; absent ones become NaN

    // A fresh file; an old one under that name is replaced.
    [[nodiscard]] static RunFileWriter create(const std::string& path, const RunDescription& description);
    // Goes on after `step`: rows beyond it are dropped, best figures beyond it forgotten. The tables
    // must be those of the description. Where the file is damaged: Error(data), nothing touched.
    [[nodiscard]] static RunFileWriter resume(const std::string& path, const RunDescription& description,
                                              Index step);

    RunFileWriter(RunFileWriter&&) noexcept;
    RunFileWriter& operator=(RunFileWriter&&) noexcept;
    ~RunFileWriter(); // without finish() the file says `running`, as after a kill

    // Rows wait in memory for commit(). Steps of a table must grow.
    void append_train(const TrainRow& row);
    void append_constraint(Index step, std::span<const double> gamma, std::span<const double> lambda,
                           std::span<const double> slack); // one value per site each
    void append_evaluation(Split split, Index step, double projected, double relaxed,
                           const Extra& extra = {});
    void append_symmetry(const SymmetryRow& row, const Extra& extra = {});
    void append_tasks(Index step, double weight, double turned_weight);
    void append_sites(Index step, const methods::SiteFigures& figures); // of the probe batch
    void append_timing(const TimingRow& row);

    // Written with the next commit().
    void set_steps(Index done);
    void set_state_sha256(const std::string& sha256);
    void set_best(const BestFigures& best);
    [[nodiscard]] const LiveState& state() const noexcept;

    // Everything so far reaches the file system. On failure (disk full): Error(storage), the file is
    // marked `failed` in place where that is still possible, and takes no further rows.
    void commit();
    // commit(), then to the disk itself: before a checkpoint of the same step is published.
    void sync();
    // The last commit; then the file in its final form, closed. `running` is not a final status.
    void finish(RunStatus status);

private:
    struct Impl;
    explicit RunFileWriter(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

} // namespace tether::run
