// SHA-256 (OpenSSL's libcrypto) for checksums of data, checkpoints and training state.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace tether {

class Sha256 {
public:
    Sha256();
    ~Sha256();
    Sha256(Sha256&&) noexcept;
    Sha256& operator=(Sha256&&) noexcept;
    void add(const void* data, std::size_t bytes);
    void add(std::string_view text) { add(text.data(), text.size()); }
    [[nodiscard]] std::string hex(); // finishes; 64 lower-case hexadecimal digits

private:
    struct State;
    std::unique_ptr<State> state_;
};

[[nodiscard]] std::string sha256_of_file(const std::string& path); // throws Error(data)

} // namespace tether
