// A checkpoint as it is, then again with its length and checksum put right, without which almost no
// change would get past the first look. What is accepted encodes to a checkpoint that reads back.
#include "tether/run/checkpoint.hpp"
#include "tests/fuzz/target.hpp"
#include "tether/core/error.hpp"
#include "tether/core/sha256.hpp"

#include <cstring>

namespace {
using tether::run::Checkpoint;

void read(std::span<const std::byte> bytes) {
    const Checkpoint found = Checkpoint::decode(bytes, "input");
    for (const std::string& name : found.names()) {
        tether::fuzz::promised(found.count(name) >= 0, "a section has values or none");
        try {
            (void)found.values<float>(name);
            (void)found.text(name);
        } catch (const tether::Error&) {
        }
    }
    const std::vector<std::byte> again = found.encode();
    tether::fuzz::promised(Checkpoint::decode(again, "again").encode() == again, "a checkpoint reads back");
}

} // namespace

namespace tether::fuzz {

void read_checkpoint(Bytes input);

void read_checkpoint(Bytes input) {
    constexpr std::size_t prefix = 32;
    constexpr std::size_t checksum = 64;
    if (input.size() >= prefix + checksum) {
        std::vector<std::uint8_t> sealed(input.begin(), input.end());
        const auto total = static_cast<std::uint64_t>(sealed.size());
        std::memcpy(sealed.data() + 24, &total, sizeof total);
        Sha256 sum;
        sum.add(sealed.data(), sealed.size() - checksum);
        std::memcpy(sealed.data() + sealed.size() - checksum, sum.hex().data(), checksum);
        try {
            read(std::as_bytes(std::span(sealed)));
        } catch (const Error&) {
        }
    }
    read(std::as_bytes(input));
}

} // namespace tether::fuzz
