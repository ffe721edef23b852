#include "tether/run/fault_injection.hpp"

#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/core/text.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <unistd.h>
#include <vector>

namespace tether::run {
namespace {

const std::vector<std::string> kinds{"kill", "segv", "abort", "exit", "throw",
                                     "hang", "nan",  "inf",   "huge", "flip"};

template <class T>
T spoiled(const std::string& kind, T value) {
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    if (kind == "nan") {
        return std::numeric_limits<T>::quiet_NaN();
    }
    if (kind == "inf") {
        return std::numeric_limits<T>::infinity();
    }
    if (kind == "huge") {
        return std::numeric_limits<T>::max() / 3;
    }
    return kind == "flip" ? std::bit_cast<T>(std::bit_cast<Bits>(value) ^ Bits{1}) : value; // the last bit
}

} // namespace

FaultInjection::FaultInjection(const char* text) {
    if (text == nullptr || *text == '\0') {
        return;
    }
    std::istringstream parts(text);
    std::string rank, step;
    std::getline(parts, kind_, ':');
    std::getline(parts, rank, ':');
    std::getline(parts, step);
    if (std::find(kinds.begin(), kinds.end(), kind_) == kinds.end()) {
        fail(ExitCode::usage, "TETHER_FAULT={}: unknown kind '{}'{}", text, kind_, hint(kind_, kinds));
    }
    const auto number = [&](const std::string& word, auto& value) {
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
        check(!word.empty() && error == std::errc{} && end == word.data() + word.size() && value >= 0,
              "TETHER_FAULT={}: expected KIND:RANK:STEP", text);
    };
    number(rank, rank_);
    number(step, step_);
    log::info("TETHER_FAULT: {} will strike rank {} at step {}", kind_, rank_, step_);
}

FaultInjection FaultInjection::from_environment() { return FaultInjection(std::getenv("TETHER_FAULT")); }

void FaultInjection::end_process() const {
    if (kind_ == "kill") {
        ::raise(SIGKILL);
    } else if (kind_ == "segv") {
        ::raise(SIGSEGV);
    } else if (kind_ == "abort") {
        std::abort();
    } else if (kind_ == "exit") {
        ::_exit(7);
    } else if (kind_ == "throw") {
        throw std::runtime_error("thrown by TETHER_FAULT");
    }
    while (kind_ == "hang") {
        std::this_thread::sleep_for(std::chrono::seconds(1));
    }
}

void FaultInjection::spoil(float& value) const { value = spoiled(kind_, value); }
void FaultInjection::spoil(double& value) const { value = spoiled(kind_, value); }

} // namespace tether::run
