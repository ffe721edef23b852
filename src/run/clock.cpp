// The margin is measured, not configured: a slow disk widens it by itself.
#include "tether/run/clock.hpp"

#include "tether/core/log.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <string_view>

namespace tether::run {
namespace {

JobClock::Clock::time_point after(double seconds) {
    return JobClock::Clock::now() + std::chrono::duration_cast<JobClock::Clock::duration>(
                                        std::chrono::duration<double>(std::clamp(seconds, 0.0, 1e9)));
}

} // namespace

JobClock::JobClock(std::optional<double> max_wall, const char* end_time) {
    if (max_wall) {
        end_ = after(*max_wall);
    }
    if (end_time != nullptr && *end_time != '\0') {
        const std::string_view text = end_time;
        long long epoch = 0;
        const auto result = std::from_chars(text.data(), text.data() + text.size(), epoch);
        if (result.ec != std::errc{} || result.ptr != text.data() + text.size() || epoch <= 0) {
            log::warning("SLURM_JOB_END_TIME is '{}', which is no time in seconds; it is not used", text);
            return;
        }
        const double now =
            std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
        const auto end = after(static_cast<double>(epoch) - now);
        end_ = end_ ? std::min(*end_, end) : end;
    }
}

JobClock JobClock::from_environment(std::optional<double> max_wall) {
    return {max_wall, std::getenv("SLURM_JOB_END_TIME")};
}

void JobClock::step_took(double seconds) { longest_step_ = std::max(longest_step_, seconds); }
void JobClock::save_took(double seconds) { longest_save_ = std::max(longest_save_, seconds); }

double JobClock::left(Clock::time_point now) const {
    return end_ ? std::chrono::duration<double>(*end_ - now).count()
                : std::numeric_limits<double>::infinity();
}

double JobClock::margin() const { return 2 * (longest_step_ + longest_save_) + 3; }

bool JobClock::must_stop(Clock::time_point now) const { return left(now) <= margin(); }

} // namespace tether::run
