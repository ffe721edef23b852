// One given value to one checked value: type, range, words, further demands.
#include "job_reader.hpp"

#include "tether/core/error.hpp"
#include "tether/core/text.hpp"

#include <algorithm>

namespace tether::run {
namespace {

[[noreturn]] void wrong(const Key& key, const std::string& full_name, const Given& given,
                        const std::string& expected, const std::string& advice = "") {
    const std::string unit = key.unit.empty() ? "" : " [" + key.unit + "]";
    fail(ExitCode::usage, "{}: '{}': found {}, expected {}{}{}", given.origin, full_name,
         found_text(given.raw), expected, unit, advice);
}

bool in_range(const Key& key, double value) { return value >= key.low && value <= key.high; }

// NaN and infinity fail the range of every key.
bool real_entry(const Raw& raw, double& value) {
    if (const auto* real = std::get_if<double>(&raw.value)) {
        value = *real == 0 ? 0.0 : *real; // no negative zero: one number, one spelling
        return true;
    }
    if (const auto* integer = std::get_if<Index>(&raw.value)) {
        value = static_cast<double>(*integer);
        return true;
    }
    return false;
}

SettingValue convert_text(const Key& key, const std::string& full_name, const Given& given) {
    const auto* text = std::get_if<std::string>(&given.raw.value);
    std::string value;
    if (text != nullptr) {
        value = *text;
    } else if (!given.bare.empty()) {
        value = given.bare; // --set name=42: a text that looks like a number
    } else {
        wrong(key, full_name, given, expected_text(key));
    }
    if (!key.words.empty() && std::ranges::find(key.words, value) == key.words.end()) {
        const std::string near = nearest_name(value, key.words);
        wrong(key, full_name, given, expected_text(key),
              near.empty() ? "" : " (did you mean '" + near + "'?)");
    }
    const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    if (std::ranges::any_of(value, control)) {
        wrong(key, full_name, given, "a text without control characters");
    }
    if (!key.canonical) {
        return value;
    }
    try {
        return key.canonical(value);
    } catch (const Error& error) {
        fail(ExitCode::usage, "{}: '{}': found {}: {}", given.origin, full_name, found_text(given.raw),
             error.what());
    }
}

template <class T>
SettingValue convert_list(const Key& key, const std::string& full_name, const Given& given) {
    const auto* list = std::get_if<std::vector<Raw>>(&given.raw.value);
    if (list == nullptr || (key.entries >= 0 && static_cast<Index>(list->size()) != key.entries)) {
        wrong(key, full_name, given, expected_text(key));
    }
    std::vector<T> values;
    for (const Raw& entry : *list) {
        double number = 0;
        const bool whole = std::holds_alternative<Index>(entry.value);
        if (!real_entry(entry, number) || (std::is_same_v<T, Index> && !whole) || !in_range(key, number)) {
            wrong(key, full_name, given, expected_text(key), " (entry " + found_text(entry) + ")");
        }
        values.push_back(whole ? static_cast<T>(std::get<Index>(entry.value)) : static_cast<T>(number));
    }
    return values;
}

SettingValue convert_kind(const Key& key, const std::string& full_name, const Given& given) {
    switch (key.kind) {
    case Kind::boolean:
        if (const auto* value = std::get_if<bool>(&given.raw.value)) {
            return *value;
        }
        break;
    case Kind::integer:
        if (const auto* value = std::get_if<Index>(&given.raw.value);
            value != nullptr && in_range(key, static_cast<double>(*value))) {
            return *value;
        }
        break;
    case Kind::real:
        if (double value = 0; real_entry(given.raw, value) && in_range(key, value)) {
            return value;
        }
        break;
    case Kind::text: return convert_text(key, full_name, given);
    case Kind::integers: return convert_list<Index>(key, full_name, given);
    case Kind::reals: return convert_list<double>(key, full_name, given);
    }
    wrong(key, full_name, given, expected_text(key));
}

} // namespace

SettingValue convert(const Key& key, const std::string& full_name, const Given& given) {
    SettingValue value = convert_kind(key, full_name, given);
    if (key.demand) {
        if (const std::string expected = key.demand(value); !expected.empty()) {
            wrong(key, full_name, given, expected);
        }
    }
    return value;
}

} // namespace tether::run
