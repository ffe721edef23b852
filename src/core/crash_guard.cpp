// The handlers are those of the process; what a thread reads is its own. They are put in place by the
// first guard of all and taken away by the last, as MPI and sanitizers have handlers of their own.
#include "tether/core/crash_guard.hpp"

#include "tether/core/error.hpp"

#include <array>
#include <csignal>
#include <cstring>
#include <mutex>

#include <unistd.h>

namespace tether {
namespace {

constexpr std::array<int, 5> signals{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

thread_local const char* reading = nullptr;
std::mutex mutex;
long guards = 0;
std::array<struct sigaction, signals.size()> former;

void say(const char* text) {
    if (::write(STDERR_FILENO, text, std::strlen(text)) < 0) {
        return; // nothing can be done about it here
    }
}

void crashed(int signal) {
    if (reading != nullptr) {
        say("error: ");
        say(reading);
        say(": is damaged so that the HDF5 library crashes on it\n");
        ::_exit(static_cast<int>(ExitCode::data));
    }
    // Not ours: once more, as if there were no guard.
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

} // namespace

CrashGuard::CrashGuard(const std::string& path) : outer_(reading) {
    reading = path.c_str();
    const std::scoped_lock lock(mutex);
    if (guards++ == 0) {
        struct sigaction action {};
        action.sa_handler = crashed;
        action.sa_flags = SA_NODEFER;
        for (std::size_t i = 0; i < signals.size(); ++i) {
            ::sigaction(signals[i], &action, &former[i]);
        }
    }
}

CrashGuard::~CrashGuard() {
    const std::scoped_lock lock(mutex);
    if (--guards == 0) {
        for (std::size_t i = 0; i < signals.size(); ++i) {
            ::sigaction(signals[i], &former[i], nullptr);
        }
    }
    reading = outer_;
}

} // namespace tether
