// The header is a Python dictionary literal: {'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }.
#include "tether/data/npy.hpp"

#include "tether/core/error.hpp"

#include <bit>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string_view>

namespace tether::data {
namespace {

static_assert(std::endian::native == std::endian::little);

struct Header {
    std::string type;
    std::vector<Index> shape;
    std::uint64_t count = 1;
    std::uint64_t data_begin = 0;
};

[[noreturn]] void bad(const std::string& path, const std::string& what) {
    fail(ExitCode::data, "{}: {}", path, what);
}

// The text after 'key': in the header.
std::string_view value_of(std::string_view header, std::string_view key, const std::string& path) {
    for (const char quote : {'\'', '"'}) {
        const std::string quoted = fmt::format("{}{}{}", quote, key, quote);
        const std::size_t found = header.find(quoted);
        if (found != std::string_view::npos) {
            std::string_view rest = header.substr(found + quoted.size());
            const std::size_t begin = rest.find_first_not_of(" :");
            return begin == std::string_view::npos ? std::string_view{} : rest.substr(begin);
        }
    }
    bad(path, fmt::format("the .npy header has no key '{}'", key));
}

std::vector<Index> parse_shape(std::string_view text, const std::string& path) {
    const std::size_t end = text.find(')');
    if (!text.starts_with('(') || end == std::string_view::npos) {
        bad(path, "the shape in the .npy header is not a tuple");
    }
    text = text.substr(1, end - 1);
    std::vector<Index> shape;
    for (;;) {
        const std::size_t begin = text.find_first_not_of(" ,");
        if (begin == std::string_view::npos) {
            return shape;
        }
        text = text.substr(begin);
        Index value = 0;
        const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc{} || value < 0 || shape.size() == 32) {
            bad(path,
                fmt::format(
                    "'{}' in the shape of the .npy header; sizes of at most 32 dimensions were expected",
                    text.substr(0, 24)));
        }
        shape.push_back(value);
        text = text.substr(static_cast<std::size_t>(stop - text.data()));
    }
}

Header read_header(std::ifstream& file, std::uint64_t file_size, const std::string& path) {
    char magic[8] = {};
    file.read(magic, 8);
    if (file.gcount() != 8 || std::memcmp(magic, "\x93NUMPY", 6) != 0) {
        bad(path, "is not a .npy file (the first bytes are not \\x93NUMPY)");
    }
    const int version = static_cast<unsigned char>(magic[6]);
    if (version < 1 || version > 3) {
        bad(path, fmt::format(".npy format version {}; 1 to 3 were expected", version));
    }
    std::uint32_t length = 0;
    const int length_bytes = version == 1 ? 2 : 4;
    file.read(reinterpret_cast<char*>(&length), length_bytes);
    const std::uint64_t begin = 8 + static_cast<std::uint64_t>(length_bytes);
    if (!file || length > file_size - begin || length > (1U << 20U)) {
        bad(path,
            fmt::format("declares a header of {} bytes; the file has {} (truncated?)", length, file_size));
    }
    std::string text(length, ' ');
    file.read(text.data(), static_cast<std::streamsize>(length));
    if (!file) {
        bad(path, "ends within the .npy header");
    }
    Header header;
    header.data_begin = begin + length;
    const std::string_view type = value_of(text, "descr", path);
    const std::size_t close = type.empty() ? std::string_view::npos : type.find(type[0], 1);
    if (close == std::string_view::npos || (type[0] != '\'' && type[0] != '"')) {
        bad(path, "holds records; a plain array of numbers was expected");
    }
    header.type = std::string(type.substr(1, close - 1));
    if (!value_of(text, "fortran_order", path).starts_with("False")) {
        bad(path, "is in Fortran order; save it with numpy.ascontiguousarray");
    }
    header.shape = parse_shape(value_of(text, "shape", path), path);
    for (const Index n : header.shape) {
        const auto size = static_cast<std::uint64_t>(n);
        if (size != 0 && header.count > std::numeric_limits<std::uint64_t>::max() / 16 / size) {
            bad(path, fmt::format("declares shape ({}), more elements than can be counted",
                                  fmt::join(header.shape, ", ")));
        }
        header.count *= size;
    }
    return header;
}

template <class T>
void read_values(std::ifstream& file, std::uint64_t file_size, const Header& header, const std::string& path,
                 std::vector<double>& out) {
    const std::uint64_t held = file_size - header.data_begin;
    if (header.count * sizeof(T) != held) {
        bad(path,
            fmt::format("declares shape ({}) of {}, that is {} bytes, but holds {} (truncated or damaged?)",
                        fmt::join(header.shape, ", "), header.type, header.count * sizeof(T), held));
    }
    std::vector<T> raw(header.count);
    file.read(reinterpret_cast<char*>(raw.data()), static_cast<std::streamsize>(held));
    if (static_cast<std::uint64_t>(file.gcount()) != held) {
        bad(path, "cannot be read to its end");
    }
    out.assign(raw.begin(), raw.end());
}

} // namespace

NpyArray read_npy(const std::string& path) {
    std::error_code error;
    const std::uint64_t size = std::filesystem::file_size(path, error);
    check(!error, ExitCode::data, "{}: {}", path, error.message());
    std::ifstream file(path, std::ios::binary);
    check(file.good(), ExitCode::data, "{}: cannot be opened for reading", path);
    const Header header = read_header(file, size, path);
    NpyArray array{header.shape, {}};
    const std::string& type = header.type;
    const auto take = [&]<class T>(T) { read_values<T>(file, size, header, path, array.values); };
    if (type == "<f8") {
        take(double{});
    } else if (type == "<f4") {
        take(float{});
    } else if (type == "<i8") {
        take(std::int64_t{});
    } else if (type == "<i4") {
        take(std::int32_t{});
    } else if (type == "<i2") {
        take(std::int16_t{});
    } else if (type == "|i1") {
        take(std::int8_t{});
    } else if (type == "|u1" || type == "|b1") {
        take(std::uint8_t{});
    } else {
        bad(path,
            fmt::format("holds type '{}'; <f8, <f4, <i8, <i4, <i2, |i1, |u1 or |b1 were expected", type));
    }
    return array;
}

} // namespace tether::data
