// Tables and figures as people read them in a terminal.
#pragma once

#include <string>
#include <vector>

namespace tether::cli {

// Lines of aligned columns, the first row being the heads; alignment has one letter for each column,
// l or r.
[[nodiscard]] std::string table_text(const std::vector<std::vector<std::string>>& rows,
                                     const std::string& alignment);

[[nodiscard]] std::string short_number(double value);     // "0.003142"; "-" where it is not finite
[[nodiscard]] std::string short_duration(double seconds); // "2d03h", "1h05m", "3m20s", "7s"; "-"

} // namespace tether::cli
