#include "toml_source.hpp"

#include "tether/core/error.hpp"
#include "tether/core/text.hpp"
#include "tether/run/job_keys.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace tether::run {
namespace {

// Far above any real file. The parser builds one table per dot of a dotted key and destroys them by
// recursion, so these limits also bound its stack.
constexpr std::uintmax_t largest_file = 1U << 20U;
constexpr std::size_t longest_line = 4096;
constexpr int most_dots = 32; // of one dotted key; a comma ends the count (lists of reals)

} // namespace

std::string read_toml_file(const std::string& path, std::string_view what) {
    namespace fs = std::filesystem;
    std::error_code error;
    const auto status = fs::status(path, error);
    check(fs::exists(status), "{} {} does not exist", what, path);
    check(!fs::is_directory(status), "{} {} is a folder", what, path);
    std::ifstream file(path, std::ios::binary);
    check(file.good(), "{} {} cannot be read: {}", what, path, std::strerror(errno));
    std::string text(largest_file + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    check(!file.bad(), "{} {} cannot be read: {}", what, path, std::strerror(errno));
    text.resize(static_cast<std::size_t>(file.gcount()));
    check(text.size() <= largest_file, "{} {} is larger than a job can be ({} bytes)", what, path,
          static_cast<std::size_t>(largest_file));
    return text;
}

void check_toml_lines(std::string_view text, const std::string& source) {
    long line = 1;
    std::size_t begin = 0;
    while (begin < text.size()) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        const std::string_view row = text.substr(begin, end - begin);
        check(row.size() <= longest_line, "{}:{}: the line has {} characters, a job file's lines at most {}",
              source, line, row.size(), longest_line);
        int dots = 0;
        for (const char c : row) {
            dots = c == ',' ? 0 : dots + (c == '.' ? 1 : 0);
            check(dots <= most_dots, "{}:{}: a name with more than {} dots", source, line, most_dots);
        }
        begin = end + 1;
        ++line;
    }
}

toml::table parse_toml(std::string_view text, const std::string& source) {
    check_toml_lines(text, source);
    try {
        return toml::parse(text, source);
    } catch (const toml::parse_error& error) {
        const std::string what(error.description());
        const bool twice = what.find("redefine") != std::string::npos;
        fail(ExitCode::usage, "{}:{}: {}: {}", source, error.source().begin.line,
             twice ? "given twice" : "not valid TOML", what);
    }
}

std::string toml_value_text(const toml::node& node, const std::string& where) {
    if (const auto* value = node.as_boolean()) {
        return toml_text(SettingValue(value->get()));
    }
    if (const auto* value = node.as_integer()) {
        return toml_text(SettingValue(static_cast<Index>(value->get())));
    }
    if (const auto* value = node.as_floating_point()) {
        return toml_text(SettingValue(value->get()));
    }
    if (const auto* value = node.as_string()) {
        return toml_text(SettingValue(value->get()));
    }
    const auto* array = node.as_array();
    check(array != nullptr, "{}: found {}, expected a number, a text, true, false or a list of them", where,
          node.is_table() ? "a table" : "a date or time");
    std::vector<std::string> parts;
    for (const toml::node& entry : *array) {
        parts.push_back(toml_value_text(entry, where));
    }
    return "[" + join(parts, ", ") + "]";
}

} // namespace tether::run
