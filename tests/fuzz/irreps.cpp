// Lists of irreps: what is accepted can be counted, and reads back equal from its own text.
#include "tether/symmetry/irreps.hpp"
#include "tests/fuzz/target.hpp"

namespace tether::fuzz {

void read_irreps(Bytes input);

void read_irreps(Bytes input) {
    const auto irreps = symmetry::Irreps::parse(text_of(input));
    promised(irreps.dim() >= 0 && irreps.dim() <= symmetry::Irreps::max_dim, "no more columns than allowed");
    promised(symmetry::Irreps::parse(irreps.to_string()) == irreps, "text of irreps reads back");
}

} // namespace tether::fuzz
