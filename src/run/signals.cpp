// Everything the handler touches is lock-free and async-signal-safe.
#include "tether/run/signals.hpp"

#include "tether/core/error.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <unistd.h>

namespace tether::run {
namespace {

constexpr std::array<int, 5> stopping{SIGTERM, SIGUSR1, SIGUSR2, SIGHUP, SIGINT};
constexpr std::int64_t second_interrupt_ns = 5'000'000'000;

std::atomic<int> first_signal{0};
std::atomic<std::int64_t> interrupted_at{0}; // monotonic nanoseconds of the last INT, 0: none
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<std::int64_t>::is_always_lock_free);

extern "C" void tether_on_signal(int number) {
    const int saved_errno = errno;
    if (number == SIGINT) {
        timespec now{};
        clock_gettime(CLOCK_MONOTONIC, &now);
        const std::int64_t time = std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
        const std::int64_t before = interrupted_at.exchange(time);
        if (before != 0 && time - before < second_interrupt_ns) {
            _exit(128 + SIGINT);
        }
    }
    int none = 0;
    first_signal.compare_exchange_strong(none, number);
    errno = saved_errno;
}

} // namespace

void Signals::install() {
    struct sigaction action {};
    action.sa_handler = tether_on_signal;
    action.sa_flags = SA_RESTART; // a write that a signal meets goes on
    sigemptyset(&action.sa_mask);
    for (const int number : stopping) {
        check(sigaction(number, &action, nullptr) == 0, "cannot handle {}: {}", strsignal(number),
              std::strerror(errno));
    }
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    for (const int number : {SIGXFSZ, SIGPIPE}) {
        check(sigaction(number, &ignore, nullptr) == 0, "cannot ignore {}: {}", strsignal(number),
              std::strerror(errno));
    }
}

bool Signals::stop_requested() noexcept { return first_signal.load() != 0; }

std::string_view Signals::reason() noexcept {
    switch (first_signal.load()) {
    case SIGTERM: return "SIGTERM";
    case SIGUSR1: return "SIGUSR1";
    case SIGUSR2: return "SIGUSR2";
    case SIGHUP: return "SIGHUP";
    case SIGINT: return "SIGINT";
    default: return "";
    }
}

void Signals::clear() noexcept {
    first_signal = 0;
    interrupted_at = 0;
}

} // namespace tether::run
