// Reading foreign HDF5. Invariants: every return value is looked at; nothing is allocated before the size a
// file declares was compared with what the file can hold (deflate compresses at most 1032:1); raw data
// outside the file (external, virtual storage) is refused.
#include "src/core/hdf5_support.hpp"
#include "tether/core/crash_guard.hpp"
#include "tether/core/error.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <utility>

namespace tether::hdf5 {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t greatest_expansion = 1032;  // of deflate
constexpr std::uint64_t always_allowed = 1U << 20U; // fill values need no storage

std::string type_name(hid_t type) {
    switch (H5Tget_class(type)) {
    case H5T_INTEGER: return "integer";
    case H5T_FLOAT: return "floating point";
    case H5T_STRING: return "string";
    case H5T_ENUM: return "enumeration";
    case H5T_COMPOUND: return "compound";
    case H5T_OPAQUE: return "opaque";
    case H5T_ARRAY: return "array";
    case H5T_VLEN: return "variable-length sequence";
    case H5T_REFERENCE: return "reference";
    default: return "unknown";
    }
}

struct Shape {
    std::vector<Index> extent;
    std::size_t count = 1;
};

Shape shape_of(hid_t space, const std::string& place) {
    Shape shape;
    const H5S_class_t kind = H5Sget_simple_extent_type(space);
    check(kind != H5S_NO_CLASS, ExitCode::data, "{}: the shape cannot be read{}", place, reason());
    if (kind == H5S_NULL) {
        return {{0}, 0};
    }
    const int rank = H5Sget_simple_extent_ndims(space);
    check(rank >= 0 && rank <= H5S_MAX_RANK, ExitCode::data, "{}: the shape cannot be read{}", place,
          reason());
    std::vector<hsize_t> extent(static_cast<std::size_t>(rank));
    check(rank == 0 || H5Sget_simple_extent_dims(space, extent.data(), nullptr) == rank, ExitCode::data,
          "{}: the shape cannot be read{}", place, reason());
    for (const hsize_t n : extent) {
        constexpr auto most = static_cast<hsize_t>(std::numeric_limits<Index>::max() / 64);
        check(n <= most && (n == 0 || shape.count <= most / n), ExitCode::data,
              "{}: declares more elements than can be counted", place);
        shape.count *= static_cast<std::size_t>(n);
        shape.extent.push_back(static_cast<Index>(n));
    }
    return shape;
}

std::uint64_t file_size(hid_t file) {
    hsize_t size = 0;
    return H5Fget_filesize(file, &size) < 0 ? 0 : size;
}

// A dataset that was opened, its type and shape, checked against what the file can hold.
struct Dataset {
    Handle id, type, space;
    Shape shape;
    std::string place;

    Dataset(const Reader& reader, const std::string& name) : place(where(reader.path(), name)) {
        silence();
        id = Handle(H5Dopen2(reader.id(), name.c_str(), H5P_DEFAULT), H5Dclose);
        if (!id.valid()) { // what else it is is looked at only now: every look opens the path again
            const std::string why = reason();
            check(reader.has(name), ExitCode::data, "{}: no such dataset{}", place, near(reader, name));
            check(reader.is_dataset(name), ExitCode::data, "{}: is a group; a dataset was expected", place);
            fail(ExitCode::data, "{}: cannot be opened{}", place, why);
        }
        type = Handle(H5Dget_type(id.id()), H5Tclose);
        space = Handle(H5Dget_space(id.id()), H5Sclose);
        check(type.valid() && space.valid(), ExitCode::data, "{}: type or shape cannot be read{}", place,
              reason());
        shape = shape_of(space.id(), place);
    }

    // Call before allocating anything of the dataset's size.
    void check_size(hid_t file) const {
        const Handle creation(H5Dget_create_plist(id.id()), H5Pclose);
        check(creation.valid(), ExitCode::data, "{}: storage layout cannot be read{}", place, reason());
        check(H5Pget_external_count(creation.id()) == 0 && H5Pget_layout(creation.id()) != H5D_VIRTUAL,
              ExitCode::data,
              "{}: its values lie outside the file; only datasets stored in the file are read", place);
        const std::uint64_t element = std::max<std::size_t>(H5Tget_size(type.id()), 1);
        const std::uint64_t held = std::min<std::uint64_t>(H5Dget_storage_size(id.id()), file_size(file));
        const std::uint64_t expansion = H5Pget_nfilters(creation.id()) > 0 ? greatest_expansion : 1;
        const std::uint64_t limit = std::max(held * expansion, always_allowed);
        check(
            shape.count <= limit / element, ExitCode::data,
            "{}: declares {} elements of {} bytes, but the file holds {} bytes of it (truncated or damaged?)",
            place, shape.count, element, held);
    }

private:
    static std::string near(const Reader& reader, const std::string& name) {
        const std::size_t cut = name.find_last_of('/');
        const std::string parent = cut == std::string::npos || cut == 0 ? "/" : name.substr(0, cut);
        if (!reader.has(parent) || reader.is_dataset(parent)) {
            return "; group " + parent + " is missing too";
        }
        std::string list;
        const std::vector<std::string> names = reader.children(parent);
        for (std::size_t i = 0; i < std::min<std::size_t>(names.size(), 12); ++i) {
            list += (i == 0 ? "" : ", ") + names[i];
        }
        return "; group " + parent + " holds: " + (list.empty() ? "nothing" : list) +
               (names.size() > 12 ? ", ..." : "");
    }
};

void check_number(hid_t type, bool integers_only, const std::string& place) {
    const H5T_class_t kind = H5Tget_class(type);
    check(kind == H5T_INTEGER || kind == H5T_ENUM || (kind == H5T_FLOAT && !integers_only), ExitCode::data,
          "{}: holds values of type {}; {} were expected", place, type_name(type),
          integers_only ? "integers" : "numbers");
}

template <class T>
std::vector<T> read_numbers(const Reader& reader, const std::string& name, hid_t memory_type,
                            bool integers_only) {
    const Dataset dataset(reader, name);
    check_number(dataset.type.id(), integers_only, dataset.place);
    dataset.check_size(reader.id());
    std::vector<T> values(dataset.shape.count);
    if (!values.empty()) {
        check(H5Dread(dataset.id.id(), memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) >= 0,
              ExitCode::data, "{}: cannot be read (truncated or damaged?){}", dataset.place, reason());
    }
    return values;
}

bool unsigned_64(hid_t type) {
    return H5Tget_class(type) == H5T_INTEGER && H5Tget_size(type) >= 8 && H5Tget_sign(type) == H5T_SGN_NONE;
}

std::string fixed_string(const char* data, std::size_t size, H5T_str_t padding) {
    std::string text(data, size);
    if (padding == H5T_STR_NULLTERM) {
        text.resize(std::min(text.find('\0'), text.size()));
    } else {
        const std::size_t last = text.find_last_not_of(padding == H5T_STR_SPACEPAD ? ' ' : '\0');
        text.resize(last == std::string::npos ? 0 : last + 1);
    }
    return text;
}

// Values of a string type; `read(memory type, buffer)` fetches them from a dataset or attribute.
template <class Read>
std::vector<std::string> read_strings(hid_t type, hid_t space, std::size_t count, const std::string& place,
                                      const Read& read) {
    check(H5Tget_class(type) == H5T_STRING, ExitCode::data,
          "{}: holds values of type {}; strings were expected", place, type_name(type));
    std::vector<std::string> values;
    if (count == 0) {
        return values;
    }
    values.reserve(count);
    if (H5Tis_variable_str(type) > 0) {
        std::vector<char*> pointers(count, nullptr);
        const herr_t status = read(type, pointers.data());
        const std::string why = status < 0 ? reason() : std::string{};
        for (const char* pointer : pointers) {
            values.emplace_back(pointer == nullptr ? "" : pointer);
        }
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, pointers.data());
        check(status >= 0, ExitCode::data, "{}: cannot be read (truncated or damaged?){}", place, why);
        return values;
    }
    const std::size_t size = H5Tget_size(type);
    const H5T_str_t padding = H5Tget_strpad(type);
    std::vector<char> raw(count * size);
    check(size > 0 && read(type, raw.data()) >= 0, ExitCode::data,
          "{}: cannot be read (truncated or damaged?){}", place, reason());
    for (std::size_t i = 0; i < count; ++i) {
        values.push_back(fixed_string(raw.data() + i * size, size, padding));
    }
    return values;
}

struct Attribute {
    Handle id, type, space;
    Shape shape;
    std::string place;

    Attribute(const Reader& reader, const std::string& object, const std::string& name)
        : place(where(reader.path(), object) + " attribute '" + name + "'") {
        silence();
        check(reader.has_attribute(object, name), ExitCode::data, "{}: missing", place);
        id = Handle(H5Aopen_by_name(reader.id(), object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT),
                    H5Aclose);
        check(id.valid(), ExitCode::data, "{}: cannot be opened{}", place, reason());
        type = Handle(H5Aget_type(id.id()), H5Tclose);
        space = Handle(H5Aget_space(id.id()), H5Sclose);
        check(type.valid() && space.valid(), ExitCode::data, "{}: type or shape cannot be read{}", place,
              reason());
        shape = shape_of(space.id(), place);
        const std::uint64_t element = std::max<std::size_t>(H5Tget_size(type.id()), 1);
        check(shape.count <= file_size(reader.id()) / element, ExitCode::data,
              "{}: declares {} elements of {} bytes, more than the file holds", place, shape.count, element);
    }
};

// Whether the file says that it is being written for readers at the same time: a run file whose writer is
// at work, or was killed, opens no other way (format: superblock of version 3, file consistency flags).
bool left_by_writer(const std::string& path) {
    std::array<char, 12> head{};
    std::ifstream file(path, std::ios::binary);
    file.read(head.data(), head.size());
    return file.gcount() == std::ssize(head) && std::string_view(head.data(), 8) == "\x89HDF\r\n\x1a\n" &&
           head[8] == 3 && (head[11] & 4) != 0;
}

} // namespace

Reader::Reader(const std::string& path) : path_(path) {
    const CrashGuard guard(path_);
    silence();
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    check(fs::exists(status), ExitCode::data, "{}: no such file", path);
    check(!fs::is_directory(status), ExitCode::data, "{}: is a folder; an HDF5 file was expected", path);
    const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    H5Pset_fclose_degree(access.id(), H5F_CLOSE_STRONG);
    file_ = Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.id()), H5Fclose);
    if (!file_.valid()) {
        const std::string why = reason();
        check(left_by_writer(path), ExitCode::data,
              "{}: is not a readable HDF5 file (truncated, damaged or another format?){}", path, why);
        // HDF5 would try a hundred times with growing pauses: minutes on a damaged file.
        H5Pset_metadata_read_attempts(access.id(), 3);
        file_ = Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, access.id()), H5Fclose);
        H5Eclear2(H5E_DEFAULT);
        check(file_.valid(), ExitCode::data,
              "{}: is not a readable HDF5 file (truncated, damaged or another format?){}", path, why);
    }
}

Reader::~Reader() {
    const CrashGuard guard(path_);
    file_.reset();
}

bool Reader::has(const std::string& name) const {
    const CrashGuard guard(path_);
    silence();
    return exists(file_.id(), name);
}

bool Reader::is_dataset(const std::string& name) const {
    const CrashGuard guard(path_);
    return has(name) && object_type(file_.id(), name) == H5O_TYPE_DATASET;
}

std::vector<std::string> Reader::children(const std::string& group) const {
    const CrashGuard guard(path_);
    silence();
    check(has(group), ExitCode::data, "{}: no such group", where(path_, group));
    std::vector<std::string> names;
    const auto add = [](hid_t, const char* name, const H5L_info_t*, void* out) -> herr_t {
        static_cast<std::vector<std::string>*>(out)->emplace_back(name);
        return 0;
    };
    check(H5Literate_by_name(file_.id(), group.c_str(), H5_INDEX_NAME, H5_ITER_INC, nullptr, add, &names,
                             H5P_DEFAULT) >= 0,
          ExitCode::data, "{}: cannot be listed{}", where(path_, group), reason());
    std::ranges::sort(names);
    return names;
}

std::vector<std::string> Reader::datasets(const std::string& group) const {
    const CrashGuard guard(path_);
    silence();
    check(has(group), ExitCode::data, "{}: no such group", where(path_, group));
    std::vector<std::string> names;
    const auto add = [](hid_t, const char* name, const H5O_info_t* info, void* out) -> herr_t {
        if (info->type == H5O_TYPE_DATASET) {
            static_cast<std::vector<std::string>*>(out)->emplace_back(name);
        }
        return 0;
    };
    check(H5Ovisit_by_name2(file_.id(), group.c_str(), H5_INDEX_NAME, H5_ITER_INC, add, &names,
                            H5O_INFO_BASIC, H5P_DEFAULT) >= 0,
          ExitCode::data, "{}: cannot be listed{}", where(path_, group), reason());
    return names;
}

std::vector<Index> Reader::shape(const std::string& dataset) const {
    const CrashGuard guard(path_);
    return Dataset(*this, dataset).shape.extent;
}

std::vector<Index> Reader::held_shape(const std::string& name) const {
    const CrashGuard guard(path_);
    const Dataset dataset(*this, name);
    dataset.check_size(file_.id());
    return dataset.shape.extent;
}

std::vector<double> Reader::doubles(const std::string& dataset) const {
    const CrashGuard guard(path_);
    return read_numbers<double>(*this, dataset, H5T_NATIVE_DOUBLE, false);
}

std::vector<float> Reader::floats(const std::string& dataset) const {
    const CrashGuard guard(path_);
    return read_numbers<float>(*this, dataset, H5T_NATIVE_FLOAT, false);
}

std::vector<Index> Reader::integers(const std::string& dataset) const {
    const CrashGuard guard(path_);
    if (!unsigned_64(Dataset(*this, dataset).type.id())) {
        return read_numbers<Index>(*this, dataset, H5T_NATIVE_INT64, true);
    }
    // HDF5 would clip values beyond Index without a word.
    const auto wide = read_numbers<std::uint64_t>(*this, dataset, H5T_NATIVE_UINT64, true);
    std::vector<Index> values(wide.size());
    for (std::size_t i = 0; i < wide.size(); ++i) {
        check(std::in_range<Index>(wide[i]), ExitCode::data, "{}: element {} is {}, beyond 64 signed bits",
              where(path_, dataset), i, wide[i]);
        values[i] = static_cast<Index>(wide[i]);
    }
    return values;
}

std::vector<std::string> Reader::strings(const std::string& name) const {
    const CrashGuard guard(path_);
    const Dataset dataset(*this, name);
    dataset.check_size(file_.id());
    return read_strings(dataset.type.id(), dataset.space.id(), dataset.shape.count, dataset.place,
                        [&](hid_t type, void* out) {
                            return H5Dread(dataset.id.id(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out);
                        });
}

std::vector<double> Reader::double_rows(const std::string& name, Index first, Index count) const {
    const CrashGuard guard(path_);
    const Dataset dataset(*this, name);
    check_number(dataset.type.id(), false, dataset.place);
    dataset.check_size(file_.id());
    const std::vector<Index>& extent = dataset.shape.extent;
    check(!extent.empty(), ExitCode::data, "{}: is a single value; rows were expected", dataset.place);
    check(first >= 0 && count >= 0 && first <= extent[0] && count <= extent[0] - first, ExitCode::data,
          "{}: has {} rows; rows {} to {} were asked for", dataset.place, extent[0], first, first + count);
    std::vector<hsize_t> start(extent.size(), 0);
    std::vector<hsize_t> size(extent.size());
    std::ranges::transform(extent, size.begin(), [](Index n) { return static_cast<hsize_t>(n); });
    start[0] = static_cast<hsize_t>(first);
    size[0] = static_cast<hsize_t>(count);
    std::size_t total = 1;
    for (const hsize_t n : size) {
        total *= static_cast<std::size_t>(n);
    }
    std::vector<double> values(total);
    if (total == 0) {
        return values;
    }
    const Handle memory(H5Screate_simple(static_cast<int>(size.size()), size.data(), nullptr), H5Sclose);
    check(memory.valid() &&
              H5Sselect_hyperslab(dataset.space.id(), H5S_SELECT_SET, start.data(), nullptr, size.data(),
                                  nullptr) >= 0 &&
              H5Dread(dataset.id.id(), H5T_NATIVE_DOUBLE, memory.id(), dataset.space.id(), H5P_DEFAULT,
                      values.data()) >= 0,
          ExitCode::data, "{}: rows {} to {} cannot be read (truncated or damaged?){}", dataset.place, first,
          first + count, reason());
    return values;
}

bool Reader::has_attribute(const std::string& object, const std::string& name) const {
    const CrashGuard guard(path_);
    return has(object) && H5Aexists_by_name(file_.id(), object.c_str(), name.c_str(), H5P_DEFAULT) > 0;
}

std::string Reader::text_attribute(const std::string& object, const std::string& name) const {
    const CrashGuard guard(path_);
    const Attribute attribute(*this, object, name);
    const auto values =
        read_strings(attribute.type.id(), attribute.space.id(), attribute.shape.count, attribute.place,
                     [&](hid_t type, void* out) { return H5Aread(attribute.id.id(), type, out); });
    std::string text;
    for (std::size_t i = 0; i < values.size(); ++i) {
        text += (i == 0 ? "" : ", ") + values[i];
    }
    return text;
}

double Reader::number_attribute(const std::string& object, const std::string& name) const {
    const CrashGuard guard(path_);
    const Attribute attribute(*this, object, name);
    check_number(attribute.type.id(), false, attribute.place);
    check(attribute.shape.count == 1, ExitCode::data, "{}: has {} values; one was expected", attribute.place,
          attribute.shape.count);
    double value = 0;
    check(H5Aread(attribute.id.id(), H5T_NATIVE_DOUBLE, &value) >= 0, ExitCode::data, "{}: cannot be read{}",
          attribute.place, reason());
    return value;
}

Index Reader::integer_attribute(const std::string& object, const std::string& name) const {
    const CrashGuard guard(path_);
    const double value = number_attribute(object, name);
    constexpr double most = 9007199254740992; // 2^53: beyond it doubles skip whole numbers
    check(std::abs(value) <= most && value == std::trunc(value), ExitCode::data,
          "{}: attribute {} is {}; a whole number of at most 2^53 was expected", where(path_, object), name,
          value);
    return static_cast<Index>(value);
}

} // namespace tether::hdf5
