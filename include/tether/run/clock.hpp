// The time a job has left: the end Slurm announces (SLURM_JOB_END_TIME) or --max-wall seconds,
// whichever comes first. Many sites deliver no signal, so the program watches this itself. The end
// is turned into the monotonic clock once; setting the system's clock later changes nothing.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace tether::run {

class JobClock {
public:
    using Clock = std::chrono::steady_clock;

    // No limit.
    JobClock() = default;
    // max_wall: seconds from now. environment: the text of SLURM_JOB_END_TIME (seconds since 1970),
    // or null. A text that is no such number is passed over with a warning.
    JobClock(std::optional<double> max_wall, const char* end_time);
    // With the environment of this process.
    [[nodiscard]] static JobClock from_environment(std::optional<double> max_wall);

    // What finishing takes: the longest step and the longest save so far.
    void step_took(double seconds);
    void save_took(double seconds);

    // Seconds left; infinity without a limit.
    [[nodiscard]] double left(Clock::time_point now = Clock::now()) const;
    // Twice the longest save and step, and some seconds for leaving.
    [[nodiscard]] double margin() const;
    // True when another step might leave no time to save.
    [[nodiscard]] bool must_stop(Clock::time_point now = Clock::now()) const;

private:
    std::optional<Clock::time_point> end_;
    double longest_step_ = 0;
    double longest_save_ = 0;
};

} // namespace tether::run
