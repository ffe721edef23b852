// Whole numbers in JSON that a file brings: the library turns 6e40 into one without a word, and what comes
// out is anybody's guess.
#pragma once

#include "tether/core/error.hpp"
#include "tether/core/types.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <limits>
#include <string_view>

namespace tether::run {

// Error(data) naming `where` unless it is a whole number of at least `low`.
[[nodiscard]] inline Index whole_number(const nlohmann::json& j, std::string_view where,
                                        Index low = std::numeric_limits<Index>::min()) {
    const bool fits = j.is_number_unsigned()
                          ? j.get<std::uint64_t>() <= std::uint64_t{std::numeric_limits<Index>::max()}
                          : j.is_number_integer();
    check(fits && j.get<Index>() >= low, ExitCode::data, "{}: found {}, expected a whole number", where,
          j.dump());
    return j.get<Index>();
}

} // namespace tether::run
