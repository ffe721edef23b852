// TOML text of people (job and sweep files, --set) into toml++ tables, with limits far above any real
// file and errors that name file and line.
#pragma once

#include <toml++/toml.h>

#include <string>
#include <string_view>

namespace tether::run {

// Whole file as text. `what` is "job file" or "sweep file". Throws Error(usage): missing, not a file,
// larger than such a file can be.
[[nodiscard]] std::string read_toml_file(const std::string& path, std::string_view what);

// Throws Error(usage) for absurd lines.
void check_toml_lines(std::string_view text, const std::string& source);

// Throws Error(usage) with file and line: not TOML, a key given twice, absurd lines.
[[nodiscard]] toml::table parse_toml(std::string_view text, const std::string& source);

// The text that reads back to this value: bool, number, text or a list of them. Throws Error(usage),
// starting with `where`, for anything else.
[[nodiscard]] std::string toml_value_text(const toml::node& node, const std::string& where);

} // namespace tether::run
