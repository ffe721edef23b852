// Small helpers for messages: the nearest valid name to a misspelt one, lists for people.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tether {

// Levenshtein distance with adjacent transpositions counted as one edit.
[[nodiscard]] int edit_distance(std::string_view a, std::string_view b);

// The closest candidate, or empty if none is close enough to be what was meant.
[[nodiscard]] std::string nearest_name(std::string_view word, std::span<const std::string> candidates);

// " (did you mean 'x'?)" or, where nothing is near, " (known: a, b, c)".
[[nodiscard]] std::string hint(std::string_view word, std::span<const std::string> candidates);

[[nodiscard]] std::string join(std::span<const std::string> parts, std::string_view separator);

} // namespace tether
