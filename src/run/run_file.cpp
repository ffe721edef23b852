// What users of a run file call. create, resume and finish differ only in what they fill a new file
// with and whether writing goes on under SWMR.
#include "run_file_impl.hpp"

#include "tether/core/text.hpp"
#include "tether/run/provenance.hpp"
#include "tether/run/run_storage.hpp"

#include <array>
#include <cerrno>
#include <limits>
#include <unistd.h>

namespace tether::run {
using h5::ok;

RunFileWriter::RunFileWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RunFileWriter::RunFileWriter(RunFileWriter&&) noexcept = default;
RunFileWriter& RunFileWriter::operator=(RunFileWriter&&) noexcept = default;
RunFileWriter::~RunFileWriter() {
    if (impl_) {
        impl_->close();
    }
}

namespace {

// Removes a half-made file when making it fails.
template <class Make>
void made_or_removed(const std::string& temporary, const Make& make) {
    try {
        make();
    } catch (...) {
        ::unlink(temporary.c_str());
        throw;
    }
}

} // namespace

RunFileWriter RunFileWriter::create(const std::string& path, const RunDescription& description) {
    auto impl = std::make_unique<Impl>();
    impl->path = path;
    impl->place.path = path + ".part";
    impl->description = description;
    impl->started = description.started.empty() ? utc_now() : description.started;
    made_or_removed(impl->place.path, [&] {
        impl->build();
        impl->begin_swmr();
    });
    return RunFileWriter(std::move(impl));
}

RunFileWriter RunFileWriter::resume(const std::string& path, const RunDescription& description, Index step) {
    const RunFileReader reader(path);
    check(reader.sites() == description.sites, ExitCode::data,
          "{}: was written for sites [{}] where this job has [{}]", path, join(reader.sites(), ", "),
          join(description.sites, ", "));
    auto impl = std::make_unique<Impl>();
    impl->path = path;
    impl->place.path = path + ".part";
    impl->description = description;
    impl->started = reader.text("started");
    impl->restarts = reader.integer("restarts") + 1;
    impl->state.steps = step;
    const BestFigures before = reader.state().best;
    BestFigures& best = impl->state.best;
    if (before.projected_step <= step) {
        best.projected_step = before.projected_step;
        best.projected_validation = before.projected_validation;
        best.projected_test = before.projected_test;
    }
    if (before.relaxed_step <= step) {
        best.relaxed_step = before.relaxed_step;
        best.relaxed_validation = before.relaxed_validation;
        best.relaxed_test = before.relaxed_test;
    }
    made_or_removed(impl->place.path, [&] {
        impl->build();
        impl->copy_from(reader, step);
        impl->begin_swmr();
    });
    return RunFileWriter(std::move(impl));
}

void RunFileWriter::append_train(const TrainRow& row) {
    impl_->append_scalars(train, row.step,
                          {row.epoch, row.loss, row.learning_rate, row.gradient_norm, row.wall_s}, {}, {});
}

void RunFileWriter::append_constraint(Index step, std::span<const double> gamma,
                                      std::span<const double> lambda, std::span<const double> slack) {
    const std::array columns{gamma, lambda, slack};
    impl_->append(constraint, step, columns);
}

void RunFileWriter::append_evaluation(Split split, Index step, double projected, double relaxed,
                                      const Extra& extra) {
    const std::size_t table =
        split == Split::validation
            ? validation
            : (split == Split::test ? test : impl_->position("/eval/out_of_distribution"));
    impl_->append_scalars(table, step, {projected, relaxed}, impl_->description.metrics, extra);
}

void RunFileWriter::append_symmetry(const SymmetryRow& row, const Extra& extra) {
    impl_->append_scalars(
        symmetry, row.step,
        {row.error_mean, row.error_max, row.bound, row.projected_error_mean, row.projected_error_max},
        impl_->description.symmetry, extra);
}

void RunFileWriter::append_tasks(Index step, double weight, double turned_weight) {
    impl_->append_scalars(impl_->position("/tasks"), step, {weight, turned_weight}, {}, {});
}

void RunFileWriter::append_sites(Index step, const methods::SiteFigures& figures) {
    const std::array<std::span<const double>, 4> columns{figures.ratio, figures.free_size, figures.lipschitz,
                                                         figures.free_lipschitz};
    impl_->append(impl_->position("/sites"), step, columns);
}

void RunFileWriter::append_timing(const TimingRow& row) {
    impl_->append_scalars(timing, row.step,
                          {row.data, row.forward, row.backward, row.reduce, row.optimise, row.coordinator,
                           row.evaluate, row.checkpoint, row.total},
                          {}, {});
}

void RunFileWriter::set_steps(Index done) { impl_->state.steps = done; }
void RunFileWriter::set_state_sha256(const std::string& sha256) { impl_->state.state_sha256 = sha256; }
void RunFileWriter::set_best(const BestFigures& best) { impl_->state.best = best; }
const LiveState& RunFileWriter::state() const noexcept { return impl_->state; }

void RunFileWriter::commit() {
    Impl& impl = *impl_;
    check(!impl.failed && !impl.finished, ExitCode::storage, "{}: takes no more rows: it {}", impl.path,
          impl.failed ? "could not be written before" : "is finished");
    try {
        impl.flush_rows();
    } catch (const Error&) {
        impl.give_up();
        throw;
    }
}

void RunFileWriter::sync() {
    commit();
    Impl& impl = *impl_;
    if (::fsync(impl.descriptor()) != 0) {
        const int reason = errno;
        impl.give_up();
        storage_failure(impl.path, "bring to disk (fsync)", reason);
    }
}

void RunFileWriter::finish(RunStatus status) {
    check(status != RunStatus::running, "a run file cannot be finished as running");
    Impl& impl = *impl_;
    if (impl.finished) {
        return;
    }
    impl.state.status = status;
    if (impl.failed) { // what could be said about it was said by commit()
        impl.close();
        impl.finished = true;
        return;
    }
    commit();
    impl.close();
    impl.finished = true;

    const RunFileReader reader(impl.path);
    Impl last;
    last.path = impl.path;
    last.place.path = impl.path + ".part";
    last.description = impl.description;
    last.started = impl.started;
    last.restarts = impl.restarts;
    last.state = impl.state;
    made_or_removed(last.place.path, [&] {
        last.build();
        last.copy_from(reader, std::numeric_limits<Index>::max());
        ok(H5Fflush(last.file.id(), H5F_SCOPE_GLOBAL), last.place, "flush");
        last.close();
        publish_written(last.place.path, last.path, "run file");
    });
}

} // namespace tether::run
