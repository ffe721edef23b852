// A checkpoint: everything that training needs to go on bitwise as if it had not stopped, as named
// sections (tensors and texts) in one file. A file is whole or rejected: its last 64 bytes are the
// SHA-256 of all before. Layout (little endian): "TETHERCP", u32 schema, u32 0, u64 header bytes,
// u64 file bytes, header (JSON), sections each at a multiple of 64 bytes, checksum (hexadecimal).
#pragma once

#include "tether/core/types.hpp"

#include <cstddef>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tether::run {

inline constexpr int checkpoint_schema_version = 1;

// What a section's bytes are.
enum class Element { float32, float64, int32, int64, uint64, uint8 };
[[nodiscard]] std::string_view element_name(Element element);
[[nodiscard]] std::size_t element_bytes(Element element);

template <class T>
struct ElementOf;
template <>
struct ElementOf<float> {
    static constexpr Element value = Element::float32;
};
template <>
struct ElementOf<double> {
    static constexpr Element value = Element::float64;
};
template <>
struct ElementOf<std::int32_t> {
    static constexpr Element value = Element::int32;
};
template <>
struct ElementOf<std::int64_t> {
    static constexpr Element value = Element::int64;
};
template <>
struct ElementOf<std::uint64_t> {
    static constexpr Element value = Element::uint64;
};
template <>
struct ElementOf<std::uint8_t> {
    static constexpr Element value = Element::uint8;
};

struct CheckpointHeader {
    std::string job_hash;
    std::string model;
    std::string precision; // "float32" or "float64"
    Index step = 0;
};

class Checkpoint {
public:
    CheckpointHeader header;

    // Adds a section; the name must be new. An empty shape means one dimension of all values.
    template <class T>
    void add(const std::string& name, std::span<const T> values, const std::vector<Index>& shape = {}) {
        add_bytes(name, ElementOf<T>::value, std::as_bytes(values), shape);
    }
    void add_text(const std::string& name, std::string_view text);

    [[nodiscard]] bool has(const std::string& name) const { return sections_.contains(name); }
    [[nodiscard]] std::vector<std::string> names() const;
    [[nodiscard]] std::vector<Index> shape(const std::string& name) const;
    [[nodiscard]] std::string text(const std::string& name) const;

    // Copies a section out. Missing, of another type or size: Error(data) that says which.
    template <class T>
    void read(const std::string& name, std::span<T> out) const {
        const auto bytes = section_bytes(name, ElementOf<T>::value, static_cast<Index>(out.size()));
        if (!bytes.empty()) {
            std::memcpy(out.data(), bytes.data(), bytes.size());
        }
    }
    template <class T>
    [[nodiscard]] std::vector<T> values(const std::string& name) const {
        std::vector<T> out(static_cast<std::size_t>(count(name)));
        read<T>(name, out);
        return out;
    }
    [[nodiscard]] Index count(const std::string& name) const; // number of values of a section

    // The file's bytes, to be handed to another thread or rank; and back. `origin` names the source
    // in messages. Damaged content: Error(storage); whole, but of another schema version: Error(data).
    [[nodiscard]] std::vector<std::byte> encode() const;
    [[nodiscard]] static Checkpoint decode(std::span<const std::byte> bytes, std::string_view origin);

    // Error(data) naming the first thing that differs. An empty member of `expected` is not compared;
    // the step never is.
    void expect(const CheckpointHeader& expected, std::string_view origin) const;

private:
    struct Section {
        Element element = Element::uint8;
        std::vector<Index> shape;
        std::vector<std::byte> bytes;
    };
    void add_bytes(const std::string& name, Element element, std::span<const std::byte> bytes,
                   std::vector<Index> shape);
    [[nodiscard]] const Section& section(const std::string& name) const;
    [[nodiscard]] std::span<const std::byte> section_bytes(const std::string& name, Element element,
                                                           Index count) const;
    std::map<std::string, Section> sections_; // ordered: the same state gives the same bytes
};

} // namespace tether::run
