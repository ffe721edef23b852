// The one table of job keys: section, name, kind, range, default, unit, meaning, and whether a key can
// change the numbers. Reading, checking, printing and hashing a job all walk this table. Models, methods
// and data sets have tables of their own with the keys that each word brings; those that live outside the
// library are added at start-up (register_choice, methods::register_method).
#pragma once

#include "tether/core/settings.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace tether::run {

inline constexpr Index job_schema_version = 1;

// One row of the table. The section of top-level keys is empty.
struct KeyRow {
    std::string section;
    Key key;
    [[nodiscard]] std::string full_name() const {
        return section.empty() ? key.name : section + "." + key.name;
    }
};

// Sections in the order in which they are written, the empty one first.
[[nodiscard]] const std::vector<std::string>& job_sections();

// All rows, choosers before the keys that depend on them; section by section as above.
[[nodiscard]] const std::vector<KeyRow>& job_key_table();

// The choices of all choosing keys.
[[nodiscard]] const std::vector<Choice>& job_choices();
// The choices of a choosing key; empty for other keys.
[[nodiscard]] std::vector<Choice> choices_of(std::string_view chooser);

// Adds a choice for this process. Throws std::logic_error when the word is taken or a key is malformed.
void register_choice(Choice choice);

// Every key with type, range, default, unit and meaning: `tether train --keys`.
[[nodiscard]] std::string print_keys();
[[nodiscard]] std::string print_keys_json();

// For messages: "integer 1..1000", "one of a, b", "list of 2 reals 0..1".
[[nodiscard]] std::string expected_text(const Key& key);
// TOML text of a value; reals in the shortest form that reads back to the same number.
[[nodiscard]] std::string toml_text(const SettingValue& value);

} // namespace tether::run
