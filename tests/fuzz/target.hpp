// What a fuzz target is: a reader of hostile input, called with bytes. It may accept them or throw
// tether::Error; anything else (another exception, a crash, a report of a sanitizer, an input that is
// slow or takes much memory, a broken promise of the reader) is a fault of the reader. One file per
// target; the same entry is fuzzed (libfuzzer.cpp) and given the kept inputs by ctest (replay.cpp).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tether::fuzz {

using Bytes = std::span<const std::uint8_t>;

struct Target {
    std::string_view name;
    void (*read)(Bytes input);
    bool hdf5 = false; // its files have a structure that mutations should know
};
[[nodiscard]] std::span<const Target> targets();
[[nodiscard]] const Target* find_target(std::string_view name); // null: there is none

[[nodiscard]] inline std::string_view text_of(Bytes input) {
    return {reinterpret_cast<const char*>(input.data()), input.size()};
}

// Bytes as a file in the temporary folder (scripts/fuzz makes that one in memory), while this lives.
class InputFile {
public:
    explicit InputFile(Bytes input);
    ~InputFile();
    InputFile(const InputFile&) = delete;
    InputFile& operator=(const InputFile&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

// A promise of the reader, such as "what it accepts reads back equal"; ends the process when broken.
void promised(bool kept, std::string_view promise);

// True when accepted, false when refused with tether::Error and a message; the message goes there.
bool accepted(const Target& target, Bytes input, std::string* message = nullptr);

} // namespace tether::fuzz
