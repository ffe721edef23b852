// Ends a process that hangs. A thread watches the phase the process says it is in; one that lasts
// longer than its limit is reported (rank, host, phase, step, who is missing) and, if it lasts on
// through a grace period, the process ends by _exit(13), without destructors, since a hung
// communication library cannot be trusted to return. Time is counted in ticks of the monotonic
// clock that this thread lived through, so a stopped process (SIGSTOP, suspended job) is not blamed
// for the time it was stopped, and neither wall-clock jumps nor long sleeps matter.
#pragma once

#include "tether/core/types.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace tether::parallel {

struct WatchdogOptions {
    std::chrono::milliseconds limit{std::chrono::seconds(300)};
    std::chrono::milliseconds grace{std::chrono::seconds(5)};
    // A straggler is mentioned once a phase has lasted this part of its limit.
    double mention_after = 0.25;
    // Further facts for the report, such as Communicator::waiting_for. Called from the watchdog's
    // thread while the others hang: must take no lock.
    std::function<std::string()> detail;
    std::function<void(int code)> exit;             // default: _exit
    std::function<void(const std::string&)> report; // default: straight to stderr
};

class Watchdog {
public:
    explicit Watchdog(WatchdogOptions options = {});
    ~Watchdog();
    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;

    void set_rank(int rank); // until then "rank ?"
    void set_detail(std::function<std::string()> detail);

    // A new phase begins, the one before has ended. `name` must outlive it (a literal). limit 0:
    // that of the options. Costs some ten nanoseconds, allocates nothing.
    void phase(const char* name, Index step, std::chrono::milliseconds limit = {});
    void rest(); // nothing is going on that could hang

private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace tether::parallel
