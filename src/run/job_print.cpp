// The table of keys for people (tether train --keys) and the texts of values and types in messages.
#include "tether/run/job_keys.hpp"

#include "tether/core/text.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>

namespace tether::run {
namespace {

std::string real_text(double value) {
    std::string text = fmt::format("{}", value == 0 ? 0.0 : value); // no negative zero
    if (text.find_first_not_of("-0123456789") == std::string::npos) {
        text += ".0"; // TOML tells reals from integers by the point
    }
    return text;
}

std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            out += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        } else {
            out += c;
        }
    }
    return out + "\"";
}

template <class T, class Text>
std::string list_text(const std::vector<T>& values, Text text) {
    std::vector<std::string> parts;
    for (const T& value : values) {
        parts.push_back(text(value));
    }
    return "[" + join(parts, ", ") + "]";
}

// " 0 .. 1", " >= 0", " <= 1" or nothing.
std::string range_text(const Key& key) {
    const bool whole = key.kind == Kind::integer || key.kind == Kind::integers;
    const auto number = [&](double x) {
        return whole ? fmt::format("{}", static_cast<Index>(x)) : fmt::format("{}", x);
    };
    constexpr double limit = std::numeric_limits<double>::max();
    if (key.low == -limit && key.high == limit) {
        return "";
    }
    if (key.high == limit) {
        return " >= " + number(key.low);
    }
    if (key.low == -limit) {
        return " <= " + number(key.high);
    }
    return " " + number(key.low) + " .. " + number(key.high);
}

std::string default_text(const Key& key) {
    if (key.standard) {
        return "default " + toml_text(*key.standard);
    }
    return key.derived.empty() ? "required" : "default " + key.derived;
}

// The words on which a key depends: "model.name segnn", "primal.optimizer adam".
std::string condition_text(const Key& key) {
    std::vector<std::string> parts;
    for (const Condition& condition : key.when) {
        parts.push_back(condition.chooser + " = " + join(condition.words, " or "));
    }
    if (!key.needs.empty()) {
        parts.push_back("a method with multipliers");
    }
    return join(parts, ", ");
}

} // namespace

std::string toml_text(const SettingValue& value) {
    struct Text {
        std::string operator()(bool v) const { return v ? "true" : "false"; }
        std::string operator()(Index v) const { return fmt::format("{}", v); }
        std::string operator()(double v) const { return real_text(v); }
        std::string operator()(const std::string& v) const { return quoted(v); }
        std::string operator()(const std::vector<Index>& v) const {
            return list_text(v, [](Index x) { return fmt::format("{}", x); });
        }
        std::string operator()(const std::vector<double>& v) const { return list_text(v, real_text); }
    };
    return std::visit(Text{}, value);
}

std::string expected_text(const Key& key) {
    const std::string entries = key.entries < 0 ? "" : fmt::format("{} ", key.entries);
    switch (key.kind) {
    case Kind::boolean: return "true or false";
    case Kind::integer: return "integer" + range_text(key);
    case Kind::real: return "real" + range_text(key);
    case Kind::text: return key.words.empty() ? "text" : "one of " + join(key.words, ", ");
    case Kind::integers: return "list of " + entries + "integers" + range_text(key);
    case Kind::reals: return "list of " + entries + "reals" + range_text(key);
    }
    return "";
}

std::string print_keys() {
    std::string out = "Keys of a job file (TOML); every one can be set with --set section.key=value.\n"
                      "Keys marked * cannot change the numbers and are no part of the job's hash.\n";
    std::string section = "none";
    std::string condition;
    for (const KeyRow& row : job_key_table()) {
        if (row.section != section) {
            section = row.section;
            condition.clear();
            out += section.empty() ? "\n" : "\n[" + section + "]\n";
        }
        if (const std::string now = condition_text(row.key); now != condition) {
            condition = now;
            out += now.empty() ? "  in every job:\n" : "  with " + now + ":\n";
        }
        const std::string unit = row.key.unit.empty() ? "" : " [" + row.key.unit + "]";
        out += fmt::format("  {}{:<27} {}{}\n      {}, {}\n", row.key.numeric ? ' ' : '*', row.key.name,
                           row.key.meaning, unit, expected_text(row.key), default_text(row.key));
    }
    for (const char* chooser : {"data.set", "model.name", "method.name"}) {
        out += fmt::format("\n{}:\n", chooser);
        for (const Choice& choice : choices_of(chooser)) {
            out += fmt::format("   {:<27} {}\n", choice.word, choice.meaning);
        }
    }
    return out;
}

std::string print_keys_json() {
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    for (const KeyRow& row : job_key_table()) {
        nlohmann::ordered_json entry = {
            {"key", row.full_name()},
            {"type", expected_text(row.key)},
            {"default", row.key.standard ? toml_text(*row.key.standard) : row.key.derived},
            {"unit", row.key.unit},
            {"meaning", row.key.meaning},
            {"only_with", condition_text(row.key)},
            {"changes_numbers", row.key.numeric}};
        rows.push_back(std::move(entry));
    }
    return rows.dump(2) + "\n";
}

} // namespace tether::run
