// Thin, owning access to HDF5 for reading foreign files and writing small ones. Foreign HDF5 is
// hostile input: shapes and types are checked, sizes before allocation. Every error names file
// and path. The run file has its own writer (run/run_file) because it is written while being read.
#pragma once

#include "tether/core/types.hpp"

#include <hdf5.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tether::hdf5 {

// Owns one HDF5 identifier.
class Handle {
public:
    using Close = herr_t (*)(hid_t);
    Handle() = default;
    Handle(hid_t id, Close close) : id_(id), close_(close) {}
    Handle(Handle&& other) noexcept : id_(other.id_), close_(other.close_) { other.id_ = -1; }
    Handle& operator=(Handle&& other) noexcept;
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    ~Handle() { reset(); }
    void reset() noexcept;
    [[nodiscard]] hid_t id() const noexcept { return id_; }
    [[nodiscard]] bool valid() const noexcept { return id_ >= 0; }

private:
    hid_t id_ = -1;
    Close close_ = nullptr;
};

// A file opened for reading. Throws Error(data) naming the file. On damage that libhdf5 itself does not
// survive the process ends with that exit code and a message (crash_guard.hpp).
class Reader {
public:
    explicit Reader(const std::string& path);
    ~Reader();
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] hid_t id() const noexcept { return file_.id(); }
    [[nodiscard]] bool has(const std::string& name) const; // object exists
    [[nodiscard]] bool is_dataset(const std::string& name) const;
    [[nodiscard]] std::vector<std::string> children(const std::string& group = "/") const; // sorted
    // All dataset paths below a group, relative to it, depth first, sorted.
    [[nodiscard]] std::vector<std::string> datasets(const std::string& group = "/") const;

    [[nodiscard]] std::vector<Index> shape(const std::string& dataset) const; // {} for a scalar
    // The same, of a dataset that is in the file: a shape that promises more than the file can hold is
    // an error. For whoever allocates by it.
    [[nodiscard]] std::vector<Index> held_shape(const std::string& dataset) const;
    [[nodiscard]] std::vector<double> doubles(const std::string& dataset) const; // any numeric type
    [[nodiscard]] std::vector<float> floats(const std::string& dataset) const;
    [[nodiscard]] std::vector<Index> integers(const std::string& dataset) const; // integer types only
    [[nodiscard]] std::vector<std::string> strings(const std::string& dataset) const;
    // Rows [first, first + count) of the leading dimension.
    [[nodiscard]] std::vector<double> double_rows(const std::string& dataset, Index first, Index count) const;

    // Attributes of an object ("/" for the file).
    [[nodiscard]] bool has_attribute(const std::string& object, const std::string& name) const;
    [[nodiscard]] std::string text_attribute(const std::string& object, const std::string& name) const;
    [[nodiscard]] double number_attribute(const std::string& object, const std::string& name) const;
    [[nodiscard]] Index integer_attribute(const std::string& object, const std::string& name) const;

private:
    std::string path_;
    Handle file_;
};

// A file written once: under a temporary name, published by close() (flush, fsync, rename), so
// that no partial file is ever left under its final name. Throws Error(storage).
class Writer {
public:
    explicit Writer(const std::string& path);
    ~Writer(); // removes the temporary file when close() was not reached
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    void group(const std::string& name); // parents are made as needed everywhere
    void write(const std::string& dataset, std::span<const double> values, const std::vector<Index>& shape);
    void write(const std::string& dataset, std::span<const float> values, const std::vector<Index>& shape);
    void write(const std::string& dataset, std::span<const Index> values, const std::vector<Index>& shape);
    void write(const std::string& dataset, std::span<const std::int32_t> values,
               const std::vector<Index>& shape);
    void write(const std::string& dataset, std::span<const std::string> values);
    void attribute(const std::string& object, const std::string& name, std::string_view text);
    void attribute(const std::string& object, const std::string& name, double value);
    void attribute(const std::string& object, const std::string& name, Index value);
    void close();

private:
    void write_raw(const std::string& dataset, hid_t type, const void* data, std::size_t count,
                   const std::vector<Index>& shape);
    std::string path_;
    std::string temporary_;
    Handle file_;
};

} // namespace tether::hdf5
