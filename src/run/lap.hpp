// Private to the engines: seconds since the last lap, which begins the next one.
#pragma once

#include <chrono>

namespace tether::run {

using LapClock = std::chrono::steady_clock;

inline double seconds_since(LapClock::time_point& last) {
    const LapClock::time_point now = LapClock::now();
    const double passed = std::chrono::duration<double>(now - last).count();
    last = now;
    return passed;
}

} // namespace tether::run
