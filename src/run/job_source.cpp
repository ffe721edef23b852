#include "job_source.hpp"

#include "toml_source.hpp"

#include "tether/core/error.hpp"
#include "tether/core/text.hpp"
#include "tether/run/job_keys.hpp"

#include <algorithm>

namespace tether::run {
namespace {

Raw raw_of(const toml::node& node) {
    if (const auto* value = node.as_boolean()) {
        return {value->get()};
    }
    if (const auto* value = node.as_integer()) {
        return {static_cast<Index>(value->get())};
    }
    if (const auto* value = node.as_floating_point()) {
        return {value->get()};
    }
    if (const auto* value = node.as_string()) {
        return {value->get()};
    }
    if (const auto* array = node.as_array()) {
        std::vector<Raw> entries;
        for (const toml::node& entry : *array) {
            entries.push_back(raw_of(entry));
        }
        return {std::move(entries)};
    }
    return {Raw::Other{node.is_table() ? "a table" : "a date or time"}};
}

std::string shortened(const std::string& text) {
    return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

std::string trimmed(const std::string& text) {
    const std::size_t begin = text.find_first_not_of(' ');
    return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

std::string at_line(const std::string& source, long line) { return fmt::format("{}:{}", source, line); }

// Adds the keys of one section; a table inside it is kept under its own name, known or not.
void add_section(const toml::table& table, const std::string& section, const std::string& source,
                 std::vector<Given>& given) {
    for (auto&& [key, node] : table) {
        const auto line = static_cast<long>(key.source().begin.line);
        given.push_back(
            {section, std::string(key.str()), raw_of(node), at_line(source, line), line, "", false});
    }
}

} // namespace

std::string found_text(const Raw& raw) {
    struct Text {
        std::string operator()(bool v) const { return v ? "true" : "false"; }
        std::string operator()(Index v) const { return fmt::format("{} (integer)", v); }
        std::string operator()(double v) const { return toml_text(v) + " (real)"; }
        std::string operator()(const std::string& v) const { return toml_text(shortened(v)) + " (text)"; }
        std::string operator()(const std::vector<Raw>& v) const {
            return fmt::format("a list of {}", v.size());
        }
        std::string operator()(const Raw::Other& v) const { return v.type; }
    };
    return std::visit(Text{}, raw.value);
}

std::vector<Given> given_in_text(const std::string& text, const std::string& source,
                                 std::span<const std::string> sections) {
    const toml::table root = parse_toml(text, source);
    std::vector<Given> given;
    for (auto&& [key, node] : root) {
        const std::string name(key.str());
        const auto line = static_cast<long>(key.source().begin.line);
        const bool known = !name.empty() && std::ranges::find(sections, name) != sections.end();
        if (const toml::table* table = node.as_table()) {
            if (known) {
                add_section(*table, name, source, given);
            } else {
                given.push_back({"", name, raw_of(node), at_line(source, line), line, "", true});
            }
            continue;
        }
        Raw raw = raw_of(node);
        check(!known, "{}:{}: found {} for '{}', expected the section [{}]", source, line, found_text(raw),
              name, name);
        given.push_back({"", name, std::move(raw), at_line(source, line), line, "", false});
    }
    std::ranges::stable_sort(given, {}, &Given::line);
    return given;
}

std::vector<Given> given_in_overrides(std::span<const std::string> overrides) {
    std::vector<Given> given;
    for (const std::string& text : overrides) {
        const std::string origin = "--set " + shortened(text);
        const std::size_t equals = text.find('=');
        const std::string name = equals == std::string::npos ? "" : trimmed(text.substr(0, equals));
        const std::string value = name.empty() ? "" : trimmed(text.substr(equals + 1));
        check(!name.empty() && !value.empty(), "{}: expected section.key=value", origin);
        check(std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20; }),
              "{}: contains a control character", origin);
        check_toml_lines(text, origin);
        Given entry;
        const std::size_t dot = name.find('.');
        entry.section = dot == std::string::npos ? "" : name.substr(0, dot);
        entry.name = dot == std::string::npos ? name : name.substr(dot + 1);
        entry.bare = value;
        entry.raw.value = entry.bare;
        entry.origin = origin;
        try {
            const toml::table parsed = toml::parse("value = " + entry.bare);
            if (const toml::node* node = parsed.get("value"); node != nullptr && parsed.size() == 1) {
                entry.raw = raw_of(*node);
            }
        } catch (const toml::parse_error&) {
            // No TOML value: a bare string, such as ace-resilient or a path.
        }
        given.push_back(std::move(entry));
    }
    return given;
}

} // namespace tether::run
