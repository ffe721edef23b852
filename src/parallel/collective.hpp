// What a rank says about the collective it is in. Ranks compare these before they exchange data, so
// that a skipped or different call is an error with names, not a hang or a wrong sum.
#pragma once

#include "tether/core/types.hpp"

#include <cstdint>
#include <span>
#include <string>

namespace tether::parallel {

enum class Collective : std::uint32_t {
    none,
    sum_tree,
    sum_fast,
    max,
    min,
    bit_or,
    barrier,
    broadcast,
    gather,
    all_gather,
    split,
    shared,
    end
};

struct Header {
    std::uint64_t sequence = 0; // collectives of this communicator so far
    std::uint64_t count = 0;    // entries, where all ranks must agree on it
    std::uint64_t place = 0;    // which shared buffer and where in it; 0: memory of one's own
    Index step = -1;            // set_step()
    Collective kind = Collective::none;
    std::uint32_t entry = 0; // bytes per entry, plus 256 for real numbers
    std::int32_t root = -1;
    friend bool operator==(const Header&, const Header&) = default;
};

[[nodiscard]] std::string describe(const Header& header);

// Throws Error(peer) naming the ranks that differ from the majority. Headers by rank.
void check_agreement(std::span<const Header> headers);

} // namespace tether::parallel
