// What a run file is made of: attributes, tables, the live record; how rows reach it, how they are
// copied from another one, and what is left of it after a failure.
#include "run_file_impl.hpp"

#include "tether/core/log.hpp"
#include "tether/core/text.hpp"
#include "tether/run/provenance.hpp"
#include "tether/run/run_storage.hpp"

#include <algorithm>
#include <fcntl.h>
#include <unistd.h>

namespace tether::run {
using h5::Handle;
using h5::ok;
using h5::own;

namespace {

constexpr Index copy_rows = 4096; // rows in memory at a time while copying

} // namespace

void RunFileWriter::Impl::write_meta() {
    const Handle meta = h5::create_group(file.id(), "/meta", place);
    const Provenance from = provenance();
    const auto put = [&](const std::string& name, const auto& value) {
        h5::attribute(meta.id(), name, value, place);
    };
    put("schema_version", Index{run_file_schema_version});
    put("tether_version", from.tether_version);
    put("git_commit", commit_text(from));
    put("compiler", from.compiler);
    put("libraries", from.libraries);
    put("processor", from.processor);
    put("instruction_set", from.instruction_set);
    put("started", started);
    put("written", utc_now());
    put("restarts", restarts);
    put("job", description.job);
    put("job_hash", description.job_hash);
    put("model", description.model);
    put("method", description.method);
    put("metric", description.headline.name);
    put("data_sha256", description.data_sha256);
    put("devices", description.devices);
    put("hosts", description.hosts.empty() ? from.host : description.hosts);
    put("seed", description.seed);
    put("ranks", description.ranks);
    put("threads", description.threads);
    put("total_steps", description.total_steps);
    put("parameters_equivariant", description.parameters_equivariant);
    put("parameters_free", description.parameters_free);
    put("status", run_status_name(state.status));
    put("steps", state.steps);
    put("state_sha256", state.state_sha256);
    for (const auto& [name, text] : description.more) {
        put(name, text);
    }
}

void RunFileWriter::Impl::write_tables() {
    std::vector<h5::Scaled> scaled;
    std::vector<std::pair<hid_t, std::string>> scale_names;

    const Handle constraint_group = h5::create_group(file.id(), "/constraint", place);
    const Handle eval_group = h5::create_group(file.id(), "/eval", place);
    const Handle text = h5::text_type(place);
    const Handle sites = h5::create_dataset(file.id(), "/constraint/site", text.id(),
                                            {description.sites.size()}, false, place);
    h5::write_strings(sites.id(), description.sites, place);
    h5::attribute(sites.id(), "long_name", "place in the network where symmetry can be broken", place);
    h5::make_scale(sites.id(), "site", place);
    scale_names.emplace_back(sites.id(), "/constraint/site");

    for (Table& layout : run_file_tables(description)) {
        OpenTable table;
        Handle group;
        if (layout.group != "/constraint") {
            group = h5::create_group(file.id(), layout.group, place);
        }
        for (const Column& column : layout.columns) {
            const std::string name = layout.group + "/" + column.quantity.name;
            std::vector<hsize_t> extent{0};
            if (column.per_site) {
                extent.push_back(description.sites.size());
            }
            table.datasets.push_back(h5::create_dataset(
                file.id(), name, column.integer ? H5T_NATIVE_INT64 : H5T_NATIVE_DOUBLE, extent, true, place));
            const hid_t dataset = table.datasets.back().id();
            h5::describe(dataset, column.quantity, place);
            if (column.quantity.name == "step") {
                h5::make_scale(dataset, "step", place);
                scale_names.emplace_back(dataset, name);
            } else if (column.per_site) {
                scaled.push_back({dataset, {table.datasets.front().id(), sites.id()}, name});
            } else {
                scaled.push_back({dataset, {table.datasets.front().id()}, name});
            }
        }
        table.waiting.resize(layout.columns.size());
        table.layout = std::move(layout);
        tables.push_back(std::move(table));
    }
    h5::attach_scales(file.id(), scaled, scale_names, place);

    const Handle best = h5::create_group(file.id(), "/eval/best", place);
    const auto put = [&](const char* name, auto value) { h5::attribute(best.id(), name, value, place); };
    put("projected_step", state.best.projected_step);
    put("projected_validation", state.best.projected_validation);
    put("projected_test", state.best.projected_test);
    put("relaxed_step", state.best.relaxed_step);
    put("relaxed_validation", state.best.relaxed_validation);
    put("relaxed_test", state.best.relaxed_test);
}

// Everything a file will ever hold but rows.
void RunFileWriter::Impl::build() {
    file = h5::create_file(place);
    write_meta();
    write_tables();
    const Handle live = h5::create_group(file.id(), "/live", place);
    const Handle type = h5::state_type(place);
    state_dataset = h5::create_dataset(file.id(), "/live/state", type.id(), {1}, false, place);
    h5::attribute(state_dataset.id(), "long_name",
                  "state of the run; newer than the attributes of /meta while status there is running",
                  place);
    committed_dataset =
        h5::create_dataset(file.id(), "/live/committed", H5T_NATIVE_INT64, {tables.size()}, false, place);
    std::vector<std::string> groups;
    for (const OpenTable& table : tables) {
        groups.push_back(table.layout.group);
    }
    h5::attribute(committed_dataset.id(), "tables", groups, place);
    h5::attribute(committed_dataset.id(), "long_name", "rows of each table that are whole", place);
    flush_rows();
    ok(H5Fflush(file.id(), H5F_SCOPE_GLOBAL), place, "flush");
}

void RunFileWriter::Impl::begin_swmr() {
    ok(H5Fstart_swmr_write(file.id()), place, "start writing while it may be read");
    publish_written(place.path, path, "run file"); // complete and empty of surprises under its name
    place.path = path;
}

std::size_t RunFileWriter::Impl::position(const std::string& group) const {
    const auto found = std::ranges::find(tables, group, [](const OpenTable& t) { return t.layout.group; });
    check(found != tables.end(), "{}: no table {} was declared", path, group);
    return static_cast<std::size_t>(found - tables.begin());
}

void RunFileWriter::Impl::append(std::size_t index, Index step,
                                 std::span<const std::span<const double>> columns) {
    OpenTable& table = tables[index];
    check(!failed && !finished, ExitCode::storage, "{}: takes no more rows: it {}", path,
          failed ? "could not be written before" : "is finished");
    check(step > table.last_step, "{}: step {} is added to {} after step {}", path, step, table.layout.group,
          table.last_step);
    check(columns.size() + 1 == table.layout.columns.size(), "{}: {} columns for {}, which has {}", path,
          columns.size() + 1, table.layout.group, table.layout.columns.size());
    for (std::size_t c = 0; c < columns.size(); ++c) {
        const Column& column = table.layout.columns[c + 1];
        check(static_cast<Index>(columns[c].size()) == width(column),
              "{}: {} values for {}/{}, which takes {}", path, columns[c].size(), table.layout.group,
              column.quantity.name, width(column));
    }
    table.last_step = step;
    table.steps.push_back(step);
    for (std::size_t c = 0; c < columns.size(); ++c) {
        std::vector<double>& waiting = table.waiting[c + 1];
        waiting.insert(waiting.end(), columns[c].begin(), columns[c].end());
    }
}

void RunFileWriter::Impl::append_scalars(std::size_t table, Index step, std::vector<double> values,
                                         std::span<const Quantity> declared, const Extra& extra) {
    std::size_t used = 0;
    for (const Quantity& quantity : declared) {
        const auto found = extra.find(quantity.name);
        used += found == extra.end() ? 0 : 1;
        values.push_back(found == extra.end() ? std::numeric_limits<double>::quiet_NaN() : found->second);
    }
    if (used != extra.size()) {
        std::vector<std::string> known;
        for (const Quantity& quantity : declared) {
            known.push_back(quantity.name);
        }
        for (const auto& [name, ignored] : extra) {
            check(std::ranges::find(known, name) != known.end(), "{}: metric '{}' of {} was not declared{}",
                  path, name, tables[table].layout.group, hint(name, known));
        }
    }
    std::vector<std::span<const double>> columns;
    for (const double& value : values) {
        columns.emplace_back(&value, 1);
    }
    append(table, step, columns);
}

// Columns, then the state, then the counters: each reaches the file system before the next.
void RunFileWriter::Impl::flush_rows() {
    std::vector<Index> counts;
    for (OpenTable& table : tables) {
        const auto rows = static_cast<Index>(table.steps.size());
        counts.push_back(table.committed + rows);
        if (rows == 0) {
            continue;
        }
        for (std::size_t c = 0; c < table.datasets.size(); ++c) {
            const Column& column = table.layout.columns[c];
            const hid_t dataset = table.datasets[c].id();
            const std::string action = "write " + table.layout.group + "/" + column.quantity.name;
            std::vector<hsize_t> start{static_cast<hsize_t>(table.committed)};
            std::vector<hsize_t> block{static_cast<hsize_t>(rows)};
            std::vector<hsize_t> extent{static_cast<hsize_t>(table.committed + rows)};
            if (column.per_site) {
                start.push_back(0);
                block.push_back(static_cast<hsize_t>(width(column)));
                extent.push_back(block.back());
            }
            ok(H5Dset_extent(dataset, extent.data()), place, action);
            if (width(column) > 0) {
                const int rank = static_cast<int>(block.size());
                const Handle to = own(H5Dget_space(dataset), H5Sclose, place, action);
                const Handle from =
                    own(H5Screate_simple(rank, block.data(), nullptr), H5Sclose, place, action);
                ok(H5Sselect_hyperslab(to.id(), H5S_SELECT_SET, start.data(), nullptr, block.data(), nullptr),
                   place, action);
                ok(column.integer ? H5Dwrite(dataset, H5T_NATIVE_INT64, from.id(), to.id(), H5P_DEFAULT,
                                             table.steps.data())
                                  : H5Dwrite(dataset, H5T_NATIVE_DOUBLE, from.id(), to.id(), H5P_DEFAULT,
                                             table.waiting[c].data()),
                   place, action);
            }
            ok(H5Dflush(dataset), place, action);
        }
    }
    write_state();
    ok(H5Dwrite(committed_dataset.id(), H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, counts.data()),
       place, "write /live/committed");
    ok(H5Dflush(committed_dataset.id()), place, "write /live/committed");
    for (std::size_t i = 0; i < tables.size(); ++i) {
        tables[i].committed = counts[i];
        tables[i].steps.clear();
        for (std::vector<double>& column : tables[i].waiting) {
            column.clear();
        }
    }
}

void RunFileWriter::Impl::write_state() {
    const Handle type = h5::state_type(place);
    const h5::StateRecord record = h5::to_record(state);
    ok(H5Dwrite(state_dataset.id(), type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, &record), place,
       "write /live/state");
    ok(H5Dflush(state_dataset.id()), place, "write /live/state");
}

void RunFileWriter::Impl::copy_from(const RunFileReader& reader, Index last_step) {
    for (std::size_t t = 0; t < tables.size(); ++t) {
        const Table layout = tables[t].layout; // append() changes the table
        std::vector<std::string> wanted;
        for (const Column& column : layout.columns) {
            wanted.push_back(column.quantity.name);
        }
        std::ranges::sort(wanted);
        check(std::ranges::find(reader.tables(), layout.group) != reader.tables().end() &&
                  reader.columns(layout.group) == wanted,
              ExitCode::data, "{}: {} holds [{}] where this job writes [{}]", reader.path(), layout.group,
              join(reader.columns(layout.group), ", "), join(wanted, ", "));
        const Index rows = reader.rows(layout.group);
        for (Index first = 0; first < rows; first += copy_rows) {
            const Index count = std::min(copy_rows, rows - first);
            const std::vector<Index> steps = reader.steps(layout.group, first, count);
            std::vector<std::vector<double>> columns;
            for (std::size_t c = 1; c < layout.columns.size(); ++c) {
                columns.push_back(
                    reader.numbers(layout.group, layout.columns[c].quantity.name, first, count));
            }
            for (std::size_t row = 0; row < steps.size() && steps[row] <= last_step; ++row) {
                std::vector<std::span<const double>> values;
                for (std::size_t c = 0; c < columns.size(); ++c) {
                    const auto size = static_cast<std::size_t>(width(layout.columns[c + 1]));
                    values.push_back(std::span<const double>(columns[c]).subspan(row * size, size));
                }
                append(t, steps[row], values);
            }
            flush_rows();
        }
    }
}

int RunFileWriter::Impl::descriptor() const {
    void* handle = nullptr;
    ok(H5Fget_vfd_handle(file.id(), H5P_DEFAULT, &handle), place, "reach its file descriptor");
    return *static_cast<const int*>(handle);
}

// After a failure the file must stay as the last commit left it, as if the process had been killed
// then. HDF5 still holds chunks it could not write and would write some of them, and a superblock
// that counts on all, when it closes: from here on it writes to nowhere.
void RunFileWriter::Impl::give_up() {
    failed = true;
    state.status = RunStatus::failed;
    try { // overwrites a chunk that is there: needs no space
        write_state();
    } catch (const Error& second) {
        log::error("{} (so its status stays as it was)", second.what());
    }
    const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nowhere >= 0) {
        ::dup2(nowhere, descriptor());
        ::close(nowhere);
    }
}

void RunFileWriter::Impl::close() noexcept {
    tables.clear();
    state_dataset.reset();
    committed_dataset.reset();
    file.reset();
    H5Eclear2(H5E_DEFAULT);
}

} // namespace tether::run
