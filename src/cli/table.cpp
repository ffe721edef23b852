#include "tether/cli/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace tether::cli {

std::string table_text(const std::vector<std::vector<std::string>>& rows, const std::string& alignment) {
    std::vector<std::size_t> widths(alignment.size(), 0);
    for (const auto& row : rows) {
        for (std::size_t c = 0; c < row.size(); ++c) {
            widths.at(c) = std::max(widths.at(c), row[c].size());
        }
    }
    std::string out;
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t c = 0; c < row.size(); ++c) {
            line += alignment[c] == 'l' ? fmt::format("{:<{}}  ", row[c], widths[c])
                                        : fmt::format("{:>{}}  ", row[c], widths[c]);
        }
        line.erase(line.find_last_not_of(' ') + 1);
        out += line + "\n";
    }
    return out;
}

std::string short_number(double value) { return std::isfinite(value) ? fmt::format("{:.4g}", value) : "-"; }

std::string short_duration(double seconds) {
    if (!std::isfinite(seconds)) {
        return "-";
    }
    const auto whole = static_cast<long long>(std::lround(seconds));
    if (whole >= 86400) {
        return fmt::format("{}d{:02}h", whole / 86400, whole / 3600 % 24);
    }
    if (whole >= 3600) {
        return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
    }
    return whole >= 60 ? fmt::format("{}m{:02}s", whole / 60, whole % 60) : fmt::format("{}s", whole);
}

} // namespace tether::cli
