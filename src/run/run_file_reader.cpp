// A writer may be in the middle of rewriting a chunk or an index when we read it; the checksum then
// does not agree and the same read succeeds a moment later. Hence the retries; a damaged file fails
// in all of them.
#include "tether/run/run_file_reader.hpp"

#include "tether/core/crash_guard.hpp"
#include "tether/core/text.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <limits>
#include <thread>

namespace tether::run {
using h5::Handle;
using h5::ok;
using h5::own;

namespace {

constexpr int attempts = 12;
constexpr auto pause = std::chrono::milliseconds(5);

template <class Action>
void retried(Patience patience, const std::string& path, const Action& action) {
    const CrashGuard guard(path);
    for (int attempt = patience == Patience::none ? attempts : 1;; ++attempt) {
        try {
            action();
            return;
        } catch (const Error&) {
            if (attempt == attempts) {
                throw;
            }
            std::this_thread::sleep_for(pause);
        }
    }
}

struct Extent {
    std::vector<hsize_t> size;
    [[nodiscard]] Index rows() const { return size.empty() ? 0 : static_cast<Index>(size[0]); }
    [[nodiscard]] Index width() const {
        Index out = 1;
        for (std::size_t i = 1; i < size.size(); ++i) {
            out *= static_cast<Index>(size[i]);
        }
        return out;
    }
};

Extent extent_of(hid_t dataset, const h5::Place& place) {
    const Handle space = own(H5Dget_space(dataset), H5Sclose, place, "read a shape");
    const int rank = H5Sget_simple_extent_ndims(space.id());
    ok(rank >= 1 && rank <= 2, place, "use a dataset that is neither a column nor a table");
    Extent out{std::vector<hsize_t>(static_cast<std::size_t>(rank))};
    ok(H5Sget_simple_extent_dims(space.id(), out.size.data(), nullptr) == rank, place, "read a shape");
    for (const hsize_t size : out.size) {
        ok(size <= (hsize_t{1} << 40U), place, "believe a shape of more than 2^40 rows");
    }
    return out;
}

// The strings of a dataset or attribute; `read` is H5Dread or H5Aread on it.
template <class Read>
std::vector<std::string> strings_of(hid_t type, hid_t space, const h5::Place& place, std::string_view what,
                                    const Read& read) {
    const hssize_t count = H5Sget_simple_extent_npoints(space);
    ok(H5Tis_variable_str(type) > 0 && count >= 0 && count <= 1'000'000, place,
       fmt::format("read {} as text", what));
    if (count == 0) {
        return {};
    }
    const Handle memory = h5::text_type(place);
    std::vector<char*> raw(static_cast<std::size_t>(count), nullptr);
    ok(herr_t{read(memory.id(), static_cast<void*>(raw.data()))}, place, fmt::format("read {}", what));
    std::vector<std::string> out;
    for (const char* text : raw) {
        out.emplace_back(text == nullptr ? "" : text);
    }
    H5Dvlen_reclaim(memory.id(), space, H5P_DEFAULT, static_cast<void*>(raw.data()));
    return out;
}

std::vector<std::string> attribute_strings(hid_t object, const std::string& name, const h5::Place& place) {
    const std::string what = "attribute " + name;
    const Handle id = own(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose, place, "open " + what);
    const Handle type = own(H5Aget_type(id.id()), H5Tclose, place, "read " + what);
    const Handle space = own(H5Aget_space(id.id()), H5Sclose, place, "read " + what);
    return strings_of(type.id(), space.id(), place, what,
                      [&](hid_t memory, void* out) { return H5Aread(id.id(), memory, out); });
}

Handle open_run_file(const h5::Place& place) {
    const Handle access = own(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, place, "set up access");
    ok(H5Pset_libver_bounds(access.id(), H5F_LIBVER_LATEST, H5F_LIBVER_LATEST), place, "ask for the format");
    // Our own retries instead of HDF5's hundred with growing pauses (minutes on a damaged file).
    ok(H5Pset_metadata_read_attempts(access.id(), 3), place, "set up access");
    return own(H5Fopen(place.path.c_str(), H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, access.id()), H5Fclose, place,
               "open it as a run file (truncated, damaged, or none)");
}

LiveState read_state(hid_t file, const h5::Place& place) {
    const Handle state =
        own(H5Dopen2(file, "/live/state", H5P_DEFAULT), H5Dclose, place, "open dataset /live/state");
    const Extent one = extent_of(state.id(), place);
    check(one.size.size() == 1 && one.size[0] == 1, ExitCode::data, "{}: /live/state is no single record",
          place.path);
    const Handle type = h5::state_type(place);
    h5::StateRecord record{};
    ok(H5Dread(state.id(), type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, &record), place, "read /live/state");
    return h5::from_record(record);
}

Handle open_meta(hid_t file, const h5::Place& place) {
    return own(H5Oopen(file, "/meta", H5P_DEFAULT), H5Oclose, place, "open /meta");
}

} // namespace

RunFileReader::RunFileReader(std::string path, Patience patience)
    : place_{std::move(path), ExitCode::data}, patience_(patience) {
    h5::silence();
    std::error_code error;
    check(std::filesystem::exists(place_.path, error), ExitCode::data, "{}: there is no such run file",
          place_.path);
    check(std::filesystem::file_size(place_.path, error) > 0, ExitCode::data, "{}: is empty (truncated?)",
          place_.path);
    refresh();
}

void RunFileReader::refresh() {
    retried(patience_, place_.path, [&] { open(); });
}

Handle RunFileReader::dataset(const std::string& name) const {
    return own(H5Dopen2(file_.id(), name.c_str(), H5P_DEFAULT), H5Dclose, place_, "open dataset " + name);
}

void RunFileReader::open() {
    file_.reset();
    file_ = open_run_file(place_);
    const Index schema = integer("schema_version");
    check(schema == run_file_schema_version, ExitCode::data,
          "{}: is of schema version {}, this program reads version {}", place_.path, schema,
          run_file_schema_version);

    // The counters first: whatever is read later is at least as new.
    const Handle counters = dataset("/live/committed");
    tables_ = attribute_strings(counters.id(), "tables", place_);
    const Extent extent = extent_of(counters.id(), place_);
    check(extent.size.size() == 1 && extent.size[0] == tables_.size(), ExitCode::data,
          "{}: /live/committed has {} counters for {} tables", place_.path, extent.rows(), tables_.size());
    std::vector<Index> committed(tables_.size());
    ok(H5Dread(counters.id(), H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, committed.data()), place_,
       "read /live/committed");

    state_ = read_state(file_.id(), place_);

    const Handle sites = dataset("/constraint/site");
    const Handle site_type = own(H5Dget_type(sites.id()), H5Tclose, place_, "read /constraint/site");
    const Handle site_space = own(H5Dget_space(sites.id()), H5Sclose, place_, "read /constraint/site");
    sites_ =
        strings_of(site_type.id(), site_space.id(), place_, "/constraint/site", [&](hid_t memory, void* out) {
            return H5Dread(sites.id(), memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, out);
        });

    // Columns of one table can differ in length by what a killed writer was about to commit.
    rows_.clear();
    for (std::size_t i = 0; i < tables_.size(); ++i) {
        check(committed[i] >= 0, ExitCode::data, "{}: counts {} rows in {}", place_.path, committed[i],
              tables_[i]);
        Index& rows = rows_[tables_[i]];
        rows = committed[i];
        for (const std::string& column : columns(tables_[i])) {
            rows = std::min(rows, extent_of(dataset(tables_[i] + "/" + column).id(), place_).rows());
        }
    }
}

bool RunFileReader::has_attribute(const std::string& name) const {
    const CrashGuard guard(place_.path);
    return H5Aexists(open_meta(file_.id(), place_).id(), name.c_str()) > 0;
}

std::string RunFileReader::text(const std::string& name) const {
    const CrashGuard guard(place_.path);
    const auto values = attribute_strings(open_meta(file_.id(), place_).id(), name, place_);
    return values.empty() ? std::string{} : values.front();
}

Index RunFileReader::integer(const std::string& name) const {
    const CrashGuard guard(place_.path);
    const Handle meta = open_meta(file_.id(), place_);
    const std::string action = "read attribute " + name + " of /meta";
    const Handle id = own(H5Aopen(meta.id(), name.c_str(), H5P_DEFAULT), H5Aclose, place_, action);
    const Handle space = own(H5Aget_space(id.id()), H5Sclose, place_, action);
    ok(H5Sget_simple_extent_npoints(space.id()) == 1, place_, action);
    Index value = 0;
    ok(H5Aread(id.id(), H5T_NATIVE_INT64, &value), place_, action);
    return value;
}

std::vector<std::string> RunFileReader::columns(const std::string& table) const {
    const CrashGuard guard(place_.path);
    const Handle group =
        own(H5Gopen2(file_.id(), table.c_str(), H5P_DEFAULT), H5Gclose, place_, "open " + table);
    std::vector<std::string> out;
    const auto take = [](hid_t, const char* name, const H5L_info_t*, void* list) -> herr_t {
        static_cast<std::vector<std::string>*>(list)->emplace_back(name);
        return 0;
    };
    hsize_t position = 0;
    ok(H5Literate(group.id(), H5_INDEX_NAME, H5_ITER_INC, &position, take, &out), place_, "list " + table);
    std::erase(out, "site"); // a coordinate, not a column
    return out;
}

Index RunFileReader::rows(const std::string& table) const {
    const auto found = rows_.find(table);
    if (found == rows_.end()) {
        fail(ExitCode::data, "{}: has no table '{}'{}", place_.path, table, hint(table, tables_));
    }
    return found->second;
}

Index RunFileReader::width(const std::string& table, const std::string& column) const {
    const CrashGuard guard(place_.path);
    return extent_of(dataset(table + "/" + column).id(), place_).width();
}

std::string RunFileReader::units(const std::string& table, const std::string& column) const {
    const CrashGuard guard(place_.path);
    const auto values = attribute_strings(dataset(table + "/" + column).id(), "units", place_);
    return values.empty() ? std::string{} : values.front();
}

// Before anything of that size is allocated. Tables are not compressed; what was never written is filled.
void RunFileReader::check_room(Index count, Index width, const std::string& name) const {
    std::error_code error;
    const auto held = static_cast<Index>(std::filesystem::file_size(place_.path, error));
    constexpr Index always_allowed = Index{1} << 20U;
    const Index most = std::max(error ? 0 : held, always_allowed); // of a byte each, at least
    check(width == 0 || count <= most / width, ExitCode::data,
          "{}: {} declares {} rows of {} values, more than the file holds (damaged?)", place_.path, name,
          count, width);
}

void RunFileReader::read(const std::string& table, const std::string& column, hid_t type, Index first,
                         Index count, void* out) const {
    const std::string name = table + "/" + column;
    retried(patience_, place_.path, [&] {
        const Handle id = dataset(name);
        const Extent extent = extent_of(id.id(), place_);
        std::vector<hsize_t> start(extent.size.size(), 0);
        std::vector<hsize_t> block = extent.size;
        start[0] = static_cast<hsize_t>(first);
        block[0] = static_cast<hsize_t>(count);
        const Handle from = own(H5Dget_space(id.id()), H5Sclose, place_, "read " + name);
        const Handle to = own(H5Screate_simple(static_cast<int>(block.size()), block.data(), nullptr),
                              H5Sclose, place_, "read " + name);
        ok(H5Sselect_hyperslab(from.id(), H5S_SELECT_SET, start.data(), nullptr, block.data(), nullptr),
           place_, "read " + name);
        ok(H5Dread(id.id(), type, to.id(), from.id(), H5P_DEFAULT, out), place_, "read " + name);
    });
}

std::vector<double> RunFileReader::numbers(const std::string& table, const std::string& column) const {
    return numbers(table, column, 0, rows(table));
}

std::vector<double> RunFileReader::numbers(const std::string& table, const std::string& column, Index first,
                                           Index count) const {
    check(first >= 0 && count >= 0 && first + count <= rows(table), ExitCode::data,
          "{}: rows {} to {} of {} are asked for, it has {}", place_.path, first, first + count, table,
          rows(table));
    const Index each = width(table, column);
    check_room(count, each, table + "/" + column);
    std::vector<double> out(static_cast<std::size_t>(count * each));
    if (!out.empty()) {
        read(table, column, H5T_NATIVE_DOUBLE, first, count, out.data());
    }
    return out;
}

std::vector<Index> RunFileReader::steps(const std::string& table) const {
    return steps(table, 0, rows(table));
}

std::vector<Index> RunFileReader::steps(const std::string& table, Index first, Index count) const {
    check(first >= 0 && count >= 0 && first + count <= rows(table), ExitCode::data,
          "{}: rows {} to {} of {} are asked for, it has {}", place_.path, first, first + count, table,
          rows(table));
    check_room(count, 1, table + "/step");
    std::vector<Index> out(static_cast<std::size_t>(count));
    if (!out.empty()) {
        read(table, "step", H5T_NATIVE_INT64, first, count, out.data());
    }
    return out;
}

std::optional<LiveState> peek_state(const std::string& path, Patience patience) {
    h5::silence();
    std::error_code error;
    if (!std::filesystem::exists(path, error) || std::filesystem::file_size(path, error) == 0) {
        return std::nullopt;
    }
    std::optional<LiveState> found;
    try {
        const h5::Place place{path, ExitCode::data};
        retried(patience, path, [&] { found = read_state(open_run_file(place).id(), place); });
    } catch (const Error&) {
        return std::nullopt;
    }
    return found;
}

} // namespace tether::run
