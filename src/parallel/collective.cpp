#include "collective.hpp"

#include "tether/core/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace tether::parallel {

std::string describe(const Header& header) {
    static constexpr std::array names{
        "nothing",       "all_reduce_tree", "all_reduce_fast",    "all_reduce_max", "all_reduce_min",
        "all_reduce_or", "barrier",         "broadcast",          "gather",         "all_gather",
        "split",         "shared_buffer",   "the end of its work"};
    const auto kind = static_cast<std::size_t>(header.kind);
    std::string text =
        fmt::format("collective {}: {}", header.sequence, kind < names.size() ? names[kind] : "?");
    if (header.count > 0) {
        text += fmt::format(" of {} x {} bytes", header.count, header.entry & 0xFFU);
    }
    if (header.root >= 0) {
        text += fmt::format(", root {}", header.root);
    }
    if (header.step >= 0) {
        text += fmt::format(", step {}", header.step);
    }
    if (header.place != 0) {
        text += fmt::format(", shared memory place {:#x}", header.place);
    }
    return text;
}

void check_agreement(std::span<const Header> headers) {
    const auto differs = [&](const Header& header) { return !(header == headers.front()); };
    if (std::none_of(headers.begin(), headers.end(), differs)) [[likely]] {
        return;
    }
    const Header* usual = &headers.front();
    std::ptrdiff_t most = 0;
    for (const Header& candidate : headers) {
        const auto votes = std::count(headers.begin(), headers.end(), candidate);
        if (votes > most) {
            most = votes;
            usual = &candidate;
        }
    }
    std::string who;
    for (std::size_t rank = 0; rank < headers.size(); ++rank) {
        if (!(headers[rank] == *usual)) {
            who += fmt::format("{}rank {} is at {}", who.empty() ? "" : "; ", rank, describe(headers[rank]));
        }
    }
    fail(ExitCode::peer, "ranks do not call the same collective: {}; the {} other(s) at {}", who, most,
         describe(*usual));
}

} // namespace tether::parallel
