// Writing small HDF5 files: under a temporary name, brought to disk, then renamed. Every failure is an
// Error(storage) naming the file.
#include "src/core/hdf5_support.hpp"
#include "tether/core/error.hpp"

#include <atomic>
#include <cstdio>
#include <filesystem>

#include <fcntl.h>
#include <unistd.h>

namespace tether::hdf5 {
namespace fs = std::filesystem;
namespace {

// The write side reports storage errors.
void stored(bool ok, const std::string& path, const char* what) {
    if (!ok) {
        fail(ExitCode::storage, "{}: {} failed{} (disk full or not writable?)", path, what, reason());
    }
}

Handle intermediate_groups() {
    Handle list(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
    if (list.valid()) {
        H5Pset_create_intermediate_group(list.id(), 1);
        H5Pset_char_encoding(list.id(), H5T_CSET_UTF8);
    }
    return list;
}

Handle text_type() {
    Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
    if (type.valid()) {
        H5Tset_size(type.id(), H5T_VARIABLE);
        H5Tset_cset(type.id(), H5T_CSET_UTF8);
    }
    return type;
}

bool synchronise(const std::string& path, int flags) {
    const int file = ::open(path.c_str(), flags);
    if (file < 0) {
        return false;
    }
    const bool ok = ::fsync(file) == 0;
    return ::close(file) == 0 && ok;
}

void write_attribute(hid_t file, const std::string& path, const std::string& object, const std::string& name,
                     hid_t type, const void* value) {
    silence();
    const Handle owner(H5Oopen(file, object.c_str(), H5P_DEFAULT), H5Oclose);
    stored(owner.valid(), path, ("opening " + object + " for attribute " + name).c_str());
    if (H5Aexists(owner.id(), name.c_str()) > 0) {
        stored(H5Adelete(owner.id(), name.c_str()) >= 0, path, ("replacing attribute " + name).c_str());
    }
    const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
    const Handle attribute(H5Acreate2(owner.id(), name.c_str(), type, space.id(), H5P_DEFAULT, H5P_DEFAULT),
                           H5Aclose);
    stored(attribute.valid() && H5Awrite(attribute.id(), type, value) >= 0, path,
           ("writing attribute " + name + " of " + object).c_str());
}

} // namespace

Writer::Writer(const std::string& path) : path_(path) {
    silence();
    static std::atomic<int> number{0};
    temporary_ = fmt::format("{}.partial-{}-{}", path, ::getpid(), number++);
    const fs::path folder = fs::path(path).parent_path();
    check(folder.empty() || fs::is_directory(folder), ExitCode::storage, "{}: folder {} does not exist", path,
          folder.string());
    const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    H5Pset_fclose_degree(access.id(), H5F_CLOSE_STRONG);
    file_ = Handle(H5Fcreate(temporary_.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.id()), H5Fclose);
    check(file_.valid(), ExitCode::storage, "{}: cannot be created{} (disk full or not writable?)", path,
          reason());
}

Writer::~Writer() {
    if (file_.valid()) {
        file_.reset();
        ::unlink(temporary_.c_str());
    }
}

void Writer::group(const std::string& name) {
    silence();
    if (exists(file_.id(), name)) {
        check(object_type(file_.id(), name) == H5O_TYPE_GROUP, ExitCode::storage, "{}: is a dataset already",
              where(path_, name));
        return;
    }
    const Handle links = intermediate_groups();
    const Handle made(H5Gcreate2(file_.id(), name.c_str(), links.id(), H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
    stored(made.valid(), where(path_, name), "creating the group");
}

void Writer::write_raw(const std::string& dataset, hid_t type, const void* data, std::size_t count,
                       const std::vector<Index>& shape) {
    silence();
    const std::string place = where(path_, dataset);
    std::vector<hsize_t> extent;
    std::size_t expected = 1;
    for (const Index n : shape) {
        check(n >= 0, ExitCode::storage, "{}: negative size {}", place, n);
        extent.push_back(static_cast<hsize_t>(n));
        expected *= static_cast<std::size_t>(n);
    }
    check(expected == count, ExitCode::storage, "{}: {} values given for a shape of {} elements", place,
          count, expected);
    check(!exists(file_.id(), dataset), ExitCode::storage, "{}: was written already", place);
    const Handle space(extent.empty()
                           ? H5Screate(H5S_SCALAR)
                           : H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr),
                       H5Sclose);
    const Handle links = intermediate_groups();
    const hid_t made =
        H5Dcreate2(file_.id(), dataset.c_str(), type, space.id(), links.id(), H5P_DEFAULT, H5P_DEFAULT);
    stored(made >= 0, place, "creating the dataset");
    const bool written = count == 0 || H5Dwrite(made, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0;
    // On a full disk the write succeeds and only closing or flushing tells.
    const bool closed = H5Dclose(made) >= 0;
    stored(written && closed, place, "writing the dataset");
}

void Writer::write(const std::string& dataset, std::span<const double> values,
                   const std::vector<Index>& shape) {
    write_raw(dataset, H5T_NATIVE_DOUBLE, values.data(), values.size(), shape);
}
void Writer::write(const std::string& dataset, std::span<const float> values,
                   const std::vector<Index>& shape) {
    write_raw(dataset, H5T_NATIVE_FLOAT, values.data(), values.size(), shape);
}
void Writer::write(const std::string& dataset, std::span<const Index> values,
                   const std::vector<Index>& shape) {
    write_raw(dataset, H5T_NATIVE_INT64, values.data(), values.size(), shape);
}
void Writer::write(const std::string& dataset, std::span<const std::int32_t> values,
                   const std::vector<Index>& shape) {
    write_raw(dataset, H5T_NATIVE_INT32, values.data(), values.size(), shape);
}
void Writer::write(const std::string& dataset, std::span<const std::string> values) {
    std::vector<const char*> pointers;
    pointers.reserve(values.size());
    for (const std::string& value : values) {
        pointers.push_back(value.c_str());
    }
    const Handle type = text_type();
    write_raw(dataset, type.id(), pointers.data(), pointers.size(), {static_cast<Index>(values.size())});
}

void Writer::attribute(const std::string& object, const std::string& name, std::string_view text) {
    const std::string copy(text);
    const char* pointer = copy.c_str();
    const Handle type = text_type();
    write_attribute(file_.id(), path_, object, name, type.id(), &pointer);
}
void Writer::attribute(const std::string& object, const std::string& name, double value) {
    write_attribute(file_.id(), path_, object, name, H5T_NATIVE_DOUBLE, &value);
}
void Writer::attribute(const std::string& object, const std::string& name, Index value) {
    write_attribute(file_.id(), path_, object, name, H5T_NATIVE_INT64, &value);
}

void Writer::close() {
    silence();
    stored(H5Fflush(file_.id(), H5F_SCOPE_LOCAL) >= 0, path_, "flushing"); // the destructor tidies up
    file_ = Handle();
    const fs::path folder = fs::path(path_).parent_path();
    const bool safe = synchronise(temporary_, O_RDONLY);
    if (!safe || std::rename(temporary_.c_str(), path_.c_str()) != 0) {
        ::unlink(temporary_.c_str());
        fail(ExitCode::storage, "{}: could not be brought to disk", path_);
    }
    stored(synchronise(folder.empty() ? "." : folder.string(), O_RDONLY | O_DIRECTORY), path_,
           "bringing the folder entry to disk");
}

} // namespace tether::hdf5
