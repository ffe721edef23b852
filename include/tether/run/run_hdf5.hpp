// HDF5 as the run file needs it: latest format, fletcher32, extendible datasets with dimension
// scales, every return value turned into an Error that names the file, the object and HDF5's own
// reason. Used by run_file and run_file_reader only.
#pragma once

#include "tether/core/error.hpp"
#include "tether/core/hdf5.hpp"
#include "tether/run/run_file_layout.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tether::run::h5 {

using hdf5::Handle;

// Where a failing call was: the file, and whether it is ours to write (storage) or read (data).
struct Place {
    std::string path;
    ExitCode code = ExitCode::storage;
};

// Ends in an Error "PATH: cannot ACTION: HDF5's reason (free space)".
[[noreturn]] void failure(const Place& place, std::string_view action);
inline void ok(bool good, const Place& place, std::string_view action) {
    if (!good) [[unlikely]] {
        failure(place, action);
    }
}
inline void ok(herr_t status, const Place& place, std::string_view action) { ok(status >= 0, place, action); }
[[nodiscard]] inline Handle own(hid_t id, Handle::Close close, const Place& place, std::string_view action) {
    ok(id >= 0, place, action);
    return {id, close};
}
void silence() noexcept;               // HDF5 prints nothing of its own
[[nodiscard]] std::string pop_error(); // the deepest reason of the last failure; clears it

[[nodiscard]] Handle create_file(const Place& place);
[[nodiscard]] Handle create_group(hid_t file, const std::string& name, const Place& place);

// [extent...] with the first dimension extendible from `rows` where `extendible`; chunks of about
// 4 KiB, fletcher32. Type: int64, float64 or the given one.
[[nodiscard]] Handle create_dataset(hid_t file, const std::string& name, hid_t type,
                                    const std::vector<hsize_t>& extent, bool extendible, const Place& place);
void write_strings(hid_t dataset, const std::vector<std::string>& values, const Place& place);

void attribute(hid_t object, const std::string& name, std::string_view text, const Place& place);
void attribute(hid_t object, const std::string& name, double value, const Place& place);
void attribute(hid_t object, const std::string& name, Index value, const Place& place);
void attribute(hid_t object, const std::string& name, const std::vector<std::string>& values,
               const Place& place);
void describe(hid_t dataset, const Quantity& quantity, const Place& place); // units, long_name

[[nodiscard]] Handle text_type(const Place& place);  // variable-length UTF-8
[[nodiscard]] Handle state_type(const Place& place); // of /live/state

// Dimension scales (the specification of the HDF5 high-level library, written by hand: three
// attributes, so that xarray and netCDF find the coordinates).
struct Scaled {
    hid_t dataset;
    std::vector<hid_t> scales; // one per dimension
    std::string name;          // absolute path
};
void make_scale(hid_t dataset, std::string_view name, const Place& place);
void attach_scales(hid_t file, const std::vector<Scaled>& scaled,
                   const std::vector<std::pair<hid_t, std::string>>& scale_names, const Place& place);

// The record of /live/state as HDF5 sees it.
struct StateRecord {
    char status[16];
    std::int64_t steps;
    char state_sha256[72];
    std::int64_t projected_step;
    double projected_validation;
    double projected_test;
    std::int64_t relaxed_step;
    double relaxed_validation;
    double relaxed_test;
};
[[nodiscard]] StateRecord to_record(const LiveState& state);
[[nodiscard]] LiveState from_record(const StateRecord& record);

} // namespace tether::run::h5
