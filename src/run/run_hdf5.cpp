// See the header. Attributes stay in the object headers (checksummed by the latest format).
#include "tether/run/run_hdf5.hpp"

#include "tether/run/run_storage.hpp"

#include <algorithm>
#include <cstring>

namespace tether::run::h5 {

namespace {
constexpr hsize_t page_bytes = 4096;
constexpr hsize_t chunk_bytes = page_bytes - 96; // and a checksum
} // namespace

void silence() noexcept { H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr); }

std::string pop_error() {
    std::string text;
    const auto take = [](unsigned, const H5E_error2_t* entry, void* out) -> herr_t {
        if (entry->desc != nullptr) {
            *static_cast<std::string*>(out) = entry->desc;
        }
        return 1; // the deepest entry is enough
    };
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take, &text);
    H5Eclear2(H5E_DEFAULT);
    // Of a failed system call HDF5 tells file, buffer and offset as well; the system's reason is enough.
    constexpr std::string_view mark = "error message = '";
    if (const auto begin = text.find(mark); begin != std::string::npos) {
        const auto from = begin + mark.size();
        return text.substr(from, text.find('\'', from) - from);
    }
    return text.empty() ? "HDF5 gives no reason" : text;
}

void failure(const Place& place, std::string_view action) {
    const std::string reason = pop_error();
    if (place.code == ExitCode::storage) {
        fail(place.code, "{}: cannot {}: {} ({})", place.path, action, reason, free_space(place.path));
    }
    fail(place.code, "{}: cannot {}: {}", place.path, action, reason);
}

Handle create_file(const Place& place) {
    silence();
    const Handle access = own(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, place, "set up access");
    ok(H5Pset_libver_bounds(access.id(), H5F_LIBVER_LATEST, H5F_LIBVER_LATEST), place,
       "ask for the latest format");
    // SIGKILL can cut a write short between two pages of memory. With file space in pages of that size
    // nothing small lies across two of them, so that every write that changes what is there (a chunk
    // that fills up, an index, a header) happens whole or not at all.
    const Handle creation = own(H5Pcreate(H5P_FILE_CREATE), H5Pclose, place, "set up the file");
    ok(H5Pset_file_space_strategy(creation.id(), H5F_FSPACE_STRATEGY_PAGE, false, 1), place, "set up pages");
    ok(H5Pset_file_space_page_size(creation.id(), page_bytes), place, "set up pages");
    return own(H5Fcreate(place.path.c_str(), H5F_ACC_TRUNC, creation.id(), access.id()), H5Fclose, place,
               "create");
}

Handle create_group(hid_t file, const std::string& name, const Place& place) {
    const Handle creation = own(H5Pcreate(H5P_GROUP_CREATE), H5Pclose, place, "set up a group");
    ok(H5Pset_attr_phase_change(creation.id(), 200, 100), place, "set up a group");
    return own(H5Gcreate2(file, name.c_str(), H5P_DEFAULT, creation.id(), H5P_DEFAULT), H5Gclose, place,
               "create group " + name);
}

Handle create_dataset(hid_t file, const std::string& name, hid_t type, const std::vector<hsize_t>& extent,
                      bool extendible, const Place& place) {
    const std::string action = "create dataset " + name;
    const int rank = static_cast<int>(extent.size());
    std::vector<hsize_t> most = extent;
    std::vector<hsize_t> chunk = extent;
    hsize_t row_bytes = H5Tget_size(type);
    for (std::size_t i = 1; i < extent.size(); ++i) {
        most[i] = std::max<hsize_t>(extent[i], 1);
        chunk[i] = most[i];
        row_bytes *= most[i];
    }
    if (extendible) {
        most[0] = H5S_UNLIMITED;
        chunk[0] = std::max<hsize_t>(1, chunk_bytes / row_bytes);
    } else {
        chunk[0] = std::max<hsize_t>(1, extent[0]);
    }
    const Handle space = own(H5Screate_simple(rank, extent.data(), most.data()), H5Sclose, place, action);
    const Handle creation = own(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, place, action);
    ok(H5Pset_attr_phase_change(creation.id(), 200, 100), place, action);
    const bool variable = H5Tis_variable_str(type) > 0;
    if (extent[0] > 0 || extendible) { // an empty fixed dataset cannot be chunked
        ok(H5Pset_chunk(creation.id(), rank, chunk.data()), place, action);
        if (!variable) { // variable-length strings live in the heap, which no filter reaches
            ok(H5Pset_fletcher32(creation.id()), place, action);
        }
    }
    return own(H5Dcreate2(file, name.c_str(), type, space.id(), H5P_DEFAULT, creation.id(), H5P_DEFAULT),
               H5Dclose, place, action);
}

Handle text_type(const Place& place) {
    Handle type = own(H5Tcopy(H5T_C_S1), H5Tclose, place, "make a text type");
    ok(H5Tset_size(type.id(), H5T_VARIABLE), place, "make a text type");
    ok(H5Tset_cset(type.id(), H5T_CSET_UTF8), place, "make a text type");
    return type;
}

namespace {

std::vector<const char*> pointers(const std::vector<std::string>& values) {
    std::vector<const char*> out;
    for (const std::string& value : values) {
        out.push_back(value.c_str());
    }
    return out;
}

void scalar_attribute(hid_t object, const std::string& name, hid_t type, const void* value,
                      const Place& place) {
    const std::string action = "write attribute " + name;
    const Handle space = own(H5Screate(H5S_SCALAR), H5Sclose, place, action);
    const Handle id = own(H5Acreate2(object, name.c_str(), type, space.id(), H5P_DEFAULT, H5P_DEFAULT),
                          H5Aclose, place, action);
    ok(H5Awrite(id.id(), type, value), place, action);
}

// HDF5's own convention for CLASS and NAME: fixed-length, null-terminated ASCII.
void fixed_attribute(hid_t object, const std::string& name, std::string_view text, const Place& place) {
    const std::string value(text);
    const Handle type = own(H5Tcopy(H5T_C_S1), H5Tclose, place, "make a text type");
    ok(H5Tset_size(type.id(), value.size() + 1), place, "make a text type");
    scalar_attribute(object, name, type.id(), value.c_str(), place);
}

hobj_ref_t reference(hid_t file, const std::string& name, const Place& place) {
    hobj_ref_t out{};
    ok(H5Rcreate(&out, file, name.c_str(), H5R_OBJECT, -1), place, "refer to " + name);
    return out;
}

} // namespace

void write_strings(hid_t dataset, const std::vector<std::string>& values, const Place& place) {
    if (values.empty()) {
        return;
    }
    const Handle type = text_type(place);
    ok(H5Dwrite(dataset, type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers(values).data()), place,
       "write strings");
}

void attribute(hid_t object, const std::string& name, std::string_view text, const Place& place) {
    const std::string value(text);
    const char* pointer = value.c_str();
    const Handle type = text_type(place);
    scalar_attribute(object, name, type.id(), static_cast<const void*>(&pointer), place);
}

void attribute(hid_t object, const std::string& name, double value, const Place& place) {
    scalar_attribute(object, name, H5T_NATIVE_DOUBLE, &value, place);
}

void attribute(hid_t object, const std::string& name, Index value, const Place& place) {
    scalar_attribute(object, name, H5T_NATIVE_INT64, &value, place);
}

void attribute(hid_t object, const std::string& name, const std::vector<std::string>& values,
               const Place& place) {
    const std::string action = "write attribute " + name;
    const hsize_t count = values.size();
    const Handle type = text_type(place);
    const Handle space = own(H5Screate_simple(1, &count, nullptr), H5Sclose, place, action);
    const Handle id = own(H5Acreate2(object, name.c_str(), type.id(), space.id(), H5P_DEFAULT, H5P_DEFAULT),
                          H5Aclose, place, action);
    ok(H5Awrite(id.id(), type.id(), static_cast<const void*>(pointers(values).data())), place, action);
}

void describe(hid_t dataset, const Quantity& quantity, const Place& place) {
    attribute(dataset, "units", quantity.units.empty() ? "1" : quantity.units, place);
    attribute(dataset, "long_name", quantity.long_name.empty() ? quantity.name : quantity.long_name, place);
}

void make_scale(hid_t dataset, std::string_view name, const Place& place) {
    fixed_attribute(dataset, "CLASS", "DIMENSION_SCALE", place);
    fixed_attribute(dataset, "NAME", name, place);
}

void attach_scales(hid_t file, const std::vector<Scaled>& scaled,
                   const std::vector<std::pair<hid_t, std::string>>& scale_names, const Place& place) {
    struct Back {
        hobj_ref_t dataset;
        int dimension;
    };
    const Handle list_type = own(H5Tvlen_create(H5T_STD_REF_OBJ), H5Tclose, place, "make a list type");
    const Handle back_type = own(H5Tcreate(H5T_COMPOUND, sizeof(Back)), H5Tclose, place, "make a list type");
    ok(H5Tinsert(back_type.id(), "dataset", offsetof(Back, dataset), H5T_STD_REF_OBJ), place,
       "make a list type");
    ok(H5Tinsert(back_type.id(), "dimension", offsetof(Back, dimension), H5T_NATIVE_INT), place,
       "make a list type");

    for (const Scaled& item : scaled) {
        std::vector<hobj_ref_t> references(item.scales.size());
        std::vector<hvl_t> lists(item.scales.size());
        for (std::size_t d = 0; d < lists.size(); ++d) {
            const auto scale =
                std::ranges::find(scale_names, item.scales[d], &std::pair<hid_t, std::string>::first);
            references[d] = reference(file, scale->second, place);
            lists[d] = {1, &references[d]};
        }
        const hsize_t rank = lists.size();
        const Handle space = own(H5Screate_simple(1, &rank, nullptr), H5Sclose, place, "attach a scale");
        const Handle id = own(
            H5Acreate2(item.dataset, "DIMENSION_LIST", list_type.id(), space.id(), H5P_DEFAULT, H5P_DEFAULT),
            H5Aclose, place, "attach a scale");
        ok(H5Awrite(id.id(), list_type.id(), lists.data()), place, "attach a scale");
    }
    for (const auto& [scale, name] : scale_names) {
        std::vector<Back> users;
        for (const Scaled& item : scaled) {
            for (std::size_t d = 0; d < item.scales.size(); ++d) {
                if (item.scales[d] == scale) {
                    users.push_back({reference(file, item.name, place), static_cast<int>(d)});
                }
            }
        }
        if (users.empty()) {
            continue;
        }
        const hsize_t count = users.size();
        const Handle space = own(H5Screate_simple(1, &count, nullptr), H5Sclose, place, "attach a scale");
        const Handle id =
            own(H5Acreate2(scale, "REFERENCE_LIST", back_type.id(), space.id(), H5P_DEFAULT, H5P_DEFAULT),
                H5Aclose, place, "attach a scale");
        ok(H5Awrite(id.id(), back_type.id(), users.data()), place, "attach a scale");
    }
}

Handle state_type(const Place& place) {
    constexpr std::string_view action = "make the state's type";
    const auto text = [&](std::size_t size) {
        Handle type = own(H5Tcopy(H5T_C_S1), H5Tclose, place, action);
        ok(H5Tset_size(type.id(), size), place, action);
        return type;
    };
    Handle type = own(H5Tcreate(H5T_COMPOUND, sizeof(StateRecord)), H5Tclose, place, action);
    const auto insert = [&](const char* name, std::size_t offset, hid_t member) {
        ok(H5Tinsert(type.id(), name, offset, member), place, action);
    };
    insert("status", offsetof(StateRecord, status), text(sizeof(StateRecord::status)).id());
    insert("steps", offsetof(StateRecord, steps), H5T_NATIVE_INT64);
    insert("state_sha256", offsetof(StateRecord, state_sha256), text(sizeof(StateRecord::state_sha256)).id());
    insert("projected_step", offsetof(StateRecord, projected_step), H5T_NATIVE_INT64);
    insert("projected_validation", offsetof(StateRecord, projected_validation), H5T_NATIVE_DOUBLE);
    insert("projected_test", offsetof(StateRecord, projected_test), H5T_NATIVE_DOUBLE);
    insert("relaxed_step", offsetof(StateRecord, relaxed_step), H5T_NATIVE_INT64);
    insert("relaxed_validation", offsetof(StateRecord, relaxed_validation), H5T_NATIVE_DOUBLE);
    insert("relaxed_test", offsetof(StateRecord, relaxed_test), H5T_NATIVE_DOUBLE);
    return type;
}

StateRecord to_record(const LiveState& state) {
    StateRecord out{};
    const auto copy = [](std::span<char> to, const std::string& from) {
        std::ranges::copy(from.substr(0, to.size() - 1), to.begin());
    };
    copy(out.status, run_status_name(state.status));
    copy(out.state_sha256, state.state_sha256);
    out.steps = state.steps;
    out.projected_step = state.best.projected_step;
    out.projected_validation = state.best.projected_validation;
    out.projected_test = state.best.projected_test;
    out.relaxed_step = state.best.relaxed_step;
    out.relaxed_validation = state.best.relaxed_validation;
    out.relaxed_test = state.best.relaxed_test;
    return out;
}

LiveState from_record(const StateRecord& record) {
    LiveState out;
    const auto text = [](std::span<const char> from) {
        return std::string(from.begin(), std::ranges::find(from, '\0'));
    };
    const std::string status = text(record.status);
    for (const RunStatus candidate :
         {RunStatus::running, RunStatus::complete, RunStatus::stopped, RunStatus::failed}) {
        if (run_status_name(candidate) == status) {
            out.status = candidate;
        }
    }
    out.steps = record.steps;
    out.state_sha256 = text(record.state_sha256);
    out.best = {record.projected_step, record.projected_validation, record.projected_test,
                record.relaxed_step,   record.relaxed_validation,   record.relaxed_test};
    return out;
}

} // namespace tether::run::h5
