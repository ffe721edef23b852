// Job text and --set arguments as a flat list of given values, each with its origin; no meaning yet.
#pragma once

#include "tether/core/types.hpp"

#include <span>
#include <string>
#include <variant>
#include <vector>

namespace tether::run {

// What TOML can say, as far as a job can use it; anything else keeps only its type's name.
struct Raw {
    struct Other {
        std::string type; // "date", "table"
    };
    std::variant<bool, Index, double, std::string, std::vector<Raw>, Other> value;
};

// "\"fast\" (text)", "3.5 (real)", "a table": for messages.
[[nodiscard]] std::string found_text(const Raw& raw);

struct Given {
    std::string section, name; // section empty at the top level
    Raw raw;
    std::string origin; // "file:line" or "--set key=value"
    long line = 0;
    std::string bare;        // --set: the text after '='
    bool is_section = false; // a whole table where its section is not known
    [[nodiscard]] std::string full_name() const { return section.empty() ? name : section + "." + name; }
};

// In the order of the lines. Unknown names pass; TOML errors, absurd lines, and sections given as
// values throw Error(usage) with file and line.
[[nodiscard]] std::vector<Given> given_in_text(const std::string& text, const std::string& source,
                                               std::span<const std::string> sections);

// In the given order; later ones win when applied.
[[nodiscard]] std::vector<Given> given_in_overrides(std::span<const std::string> overrides);

} // namespace tether::run
