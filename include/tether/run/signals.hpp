// Signals that ask a run to stop: TERM, USR1, USR2, HUP and INT mean "finish the step, checkpoint,
// exit 75". The handler sets a flag and nothing else; a second signal changes nothing, except INT
// twice within a few seconds, which ends the process at once (a person at the keyboard means it).
#pragma once

#include <string_view>

namespace tether::run {

class Signals {
public:
    // To be called after the communicator has started (MPI installs handlers of its own). Also
    // makes a full disk quota (SIGXFSZ) and a closed pipe (SIGPIPE) errors of the call concerned.
    static void install();
    [[nodiscard]] static bool stop_requested() noexcept;
    [[nodiscard]] static std::string_view reason() noexcept; // "SIGTERM"; empty while none has come
    static void clear() noexcept;                            // for tests
};

} // namespace tether::run
