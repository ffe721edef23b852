// Encoding and decoding. Decoding trusts nothing: length, checksum, schema, then a header whose
// every number is compared with the bytes that are there before memory is taken. Damage is reported
// as Error(storage), a whole file that does not fit as Error(data): only the first is passed over.
#include "tether/run/checkpoint.hpp"

#include "src/run/json_numbers.hpp"

#include "tether/core/error.hpp"
#include "tether/core/sha256.hpp"
#include "tether/core/text.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <bit>
#include <limits>

namespace tether::run {
namespace {

using Json = nlohmann::json;

static_assert(std::endian::native == std::endian::little, "checkpoints are written in little endian");

constexpr std::string_view magic = "TETHERCP";
constexpr std::size_t prefix_bytes = 32;
constexpr std::size_t alignment = 64;
constexpr std::size_t checksum_bytes = 64;

struct ElementEntry {
    Element element;
    std::string_view name;
    std::size_t bytes;
};
constexpr std::array<ElementEntry, 6> elements{{{Element::float32, "float32", 4},
                                                {Element::float64, "float64", 8},
                                                {Element::int32, "int32", 4},
                                                {Element::int64, "int64", 8},
                                                {Element::uint64, "uint64", 8},
                                                {Element::uint8, "uint8", 1}}};

const ElementEntry& entry(Element element) {
    for (const ElementEntry& candidate : elements) {
        if (candidate.element == element) {
            return candidate;
        }
    }
    fail(ExitCode::data, "element type {} is not known", static_cast<int>(element));
}

Element element_of(const std::string& name, std::string_view origin) {
    for (const ElementEntry& candidate : elements) {
        if (candidate.name == name) {
            return candidate.element;
        }
    }
    fail(ExitCode::data, "{}: section of unknown type '{}'", origin, name);
}

std::size_t aligned(std::size_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

template <class T>
void put(std::vector<std::byte>& out, std::size_t at, T value) {
    std::memcpy(out.data() + at, &value, sizeof value);
}
template <class T>
T take(std::span<const std::byte> bytes, std::size_t at) {
    T value{};
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
}

std::string checksum(std::span<const std::byte> bytes) {
    Sha256 hash;
    hash.add(bytes.data(), bytes.size());
    return hash.hex();
}

// Product of a shape, or a negative number where it cannot be one.
Index volume(const std::vector<Index>& shape) {
    Index product = 1;
    for (const Index extent : shape) {
        if (extent < 0 || (extent > 0 && product > std::numeric_limits<Index>::max() / extent)) {
            return -1;
        }
        product *= extent;
    }
    return product;
}

std::string text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

} // namespace

std::string_view element_name(Element element) { return entry(element).name; }
std::size_t element_bytes(Element element) { return entry(element).bytes; }

void Checkpoint::add_bytes(const std::string& name, Element element, std::span<const std::byte> bytes,
                           std::vector<Index> shape) {
    const auto count = static_cast<Index>(bytes.size() / element_bytes(element));
    if (shape.empty()) {
        shape = {count};
    }
    check(volume(shape) == count, "checkpoint section '{}' has {} values but a shape of {}", name, count,
          volume(shape));
    const bool added =
        sections_.try_emplace(name, Section{element, std::move(shape), {bytes.begin(), bytes.end()}}).second;
    check(added, "checkpoint section '{}' is added twice", name);
}

void Checkpoint::add_text(const std::string& name, std::string_view text) {
    add_bytes(name, Element::uint8, std::as_bytes(std::span(text.data(), text.size())), {});
}

std::vector<std::string> Checkpoint::names() const {
    std::vector<std::string> out;
    for (const auto& [name, ignored] : sections_) {
        out.push_back(name);
    }
    return out;
}

const Checkpoint::Section& Checkpoint::section(const std::string& name) const {
    const auto found = sections_.find(name);
    if (found == sections_.end()) {
        fail(ExitCode::data, "checkpoint of step {} has no section '{}'{}", header.step, name,
             hint(name, names()));
    }
    return found->second;
}

std::vector<Index> Checkpoint::shape(const std::string& name) const { return section(name).shape; }

Index Checkpoint::count(const std::string& name) const { return volume(section(name).shape); }

std::string Checkpoint::text(const std::string& name) const {
    return text_of(section_bytes(name, Element::uint8, count(name)));
}

std::span<const std::byte> Checkpoint::section_bytes(const std::string& name, Element element,
                                                     Index expected) const {
    const Section& found = section(name);
    check(found.element == element, ExitCode::data,
          "checkpoint of step {}: section '{}' holds {} where {} is expected", header.step, name,
          element_name(found.element), element_name(element));
    check(volume(found.shape) == expected, ExitCode::data,
          "checkpoint of step {}: section '{}' holds {} values where {} are expected", header.step, name,
          volume(found.shape), expected);
    return found.bytes;
}

std::vector<std::byte> Checkpoint::encode() const {
    Json list = Json::array();
    std::size_t payload = 0;
    for (const auto& [name, section] : sections_) {
        list.push_back({{"name", name},
                        {"type", element_name(section.element)},
                        {"shape", section.shape},
                        {"offset", payload}}); // from the first section's start
        payload += aligned(section.bytes.size());
    }
    const Json content{{"job_hash", header.job_hash},
                       {"model", header.model},
                       {"precision", header.precision},
                       {"step", header.step},
                       {"sections", list}};
    const std::string text = content.dump();
    const std::size_t start = aligned(prefix_bytes + text.size());
    const std::size_t total = start + payload + checksum_bytes;

    std::vector<std::byte> out(total, std::byte{0});
    std::memcpy(out.data(), magic.data(), magic.size());
    put(out, 8, static_cast<std::uint32_t>(checkpoint_schema_version));
    put(out, 16, static_cast<std::uint64_t>(text.size()));
    put(out, 24, static_cast<std::uint64_t>(total));
    std::memcpy(out.data() + prefix_bytes, text.data(), text.size());
    std::size_t at = start;
    for (const auto& [name, section] : sections_) {
        if (!section.bytes.empty()) {
            std::memcpy(out.data() + at, section.bytes.data(), section.bytes.size());
        }
        at += aligned(section.bytes.size());
    }
    const std::string sum = checksum(std::span(out).first(total - checksum_bytes));
    std::memcpy(out.data() + total - checksum_bytes, sum.data(), checksum_bytes);
    return out;
}

Checkpoint Checkpoint::decode(std::span<const std::byte> bytes, std::string_view origin) {
    check(bytes.size() >= prefix_bytes + checksum_bytes, ExitCode::storage,
          "{}: {} bytes are too few for a checkpoint (truncated?)", origin, bytes.size());
    check(text_of(bytes.first(magic.size())) == magic, ExitCode::storage, "{}: is not a checkpoint", origin);
    const auto total = take<std::uint64_t>(bytes, 24);
    check(total == bytes.size(), ExitCode::storage, "{}: has {} bytes where {} are expected (truncated?)",
          origin, bytes.size(), total);
    const std::span<const std::byte> body = bytes.first(bytes.size() - checksum_bytes);
    check(checksum(body) == text_of(bytes.last(checksum_bytes)), ExitCode::storage,
          "{}: the checksum does not agree with the content (damaged)", origin);
    const auto schema = take<std::uint32_t>(bytes, 8);
    check(schema == checkpoint_schema_version, ExitCode::data,
          "{}: is of schema version {}, this program reads version {}", origin, schema,
          checkpoint_schema_version);
    const auto header_bytes = take<std::uint64_t>(bytes, 16);
    check(header_bytes <= body.size() - prefix_bytes, ExitCode::data, "{}: header of {} bytes is too long",
          origin, header_bytes);

    Checkpoint out;
    try {
        const Json content = Json::parse(text_of(body.subspan(prefix_bytes, header_bytes)));
        out.header = {content.at("job_hash"), content.at("model"), content.at("precision"),
                      whole_number(content.at("step"), origin)};
        const std::size_t start = aligned(prefix_bytes + header_bytes);
        for (const Json& item : content.at("sections")) {
            const std::string name = item.at("name");
            const Element element = element_of(item.at("type"), origin);
            std::vector<Index> shape;
            for (const Json& size : item.at("shape")) {
                shape.push_back(whole_number(size, origin));
            }
            const auto offset = static_cast<std::size_t>(whole_number(item.at("offset"), origin, 0));
            const Index values = volume(shape);
            const std::size_t room = start <= body.size() && offset <= body.size() - start
                                         ? (body.size() - start - offset) / element_bytes(element)
                                         : 0;
            check(values >= 0 && static_cast<std::size_t>(values) <= room, ExitCode::data,
                  "{}: section '{}' reaches beyond the end of the file", origin, name);
            const std::size_t size = static_cast<std::size_t>(values) * element_bytes(element);
            out.add_bytes(name, element,
                          size == 0 ? std::span<const std::byte>{} : body.subspan(start + offset, size),
                          std::move(shape));
        }
    } catch (const Json::exception& error) {
        fail(ExitCode::data, "{}: the header cannot be read: {}", origin, error.what());
    }
    return out;
}

void Checkpoint::expect(const CheckpointHeader& expected, std::string_view origin) const {
    const auto same = [&](std::string_view what, const std::string& found, const std::string& wanted) {
        check(wanted.empty() || found == wanted, ExitCode::data,
              "{}: is a checkpoint of {} '{}' where '{}' is expected", origin, what, found, wanted);
    };
    same("model", header.model, expected.model);
    same("precision", header.precision, expected.precision);
    same("job hash", header.job_hash, expected.job_hash);
}

} // namespace tether::run
