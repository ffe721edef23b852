// See schedule.hpp.
#include "tether/optimise/schedule.hpp"

#include "tether/core/error.hpp"
#include "tether/core/text.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tether::optimise {

std::vector<std::string> schedule_names() { return {"constant", "cosine", "step", "milestones"}; }

ScheduleKind schedule_kind(std::string_view name) {
    const std::vector<std::string> names = schedule_names();
    const auto found = std::ranges::find(names, name);
    check(found != names.end(), "unknown learning-rate schedule '{}'{}", name, hint(name, names));
    return static_cast<ScheduleKind>(found - names.begin());
}

std::string schedule_name(ScheduleKind kind) { return schedule_names()[static_cast<std::size_t>(kind)]; }

void check_settings(const ScheduleSettings& s) {
    check(s.minimum >= 0 && std::isfinite(s.minimum), "schedule minimum is {}, expected a rate >= 0",
          s.minimum);
    check(s.factor > 0 && s.factor <= 1, "schedule factor is {}, expected a value in (0, 1]", s.factor);
    check(s.every >= 1, "schedule period is {} epochs, expected 1 or more", s.every);
    double last = 0;
    for (const double fraction : s.milestones) {
        check(fraction > last && fraction <= 1,
              "schedule milestone {} is not an ascending fraction of the epochs in (0, 1]", fraction);
        last = fraction;
    }
}

double learning_rate(const ScheduleSettings& s, double base, Index epoch, Index epochs) {
    const Index e = epoch + (s.ahead ? 1 : 0);
    switch (s.kind) {
    case ScheduleKind::constant: return base;
    case ScheduleKind::cosine: {
        // A run longer than planned stays at the minimum instead of rising again.
        const double part =
            std::min(1.0, static_cast<double>(e) / static_cast<double>(std::max<Index>(epochs, 1)));
        return s.minimum + (base - s.minimum) * (1 + std::cos(std::numbers::pi * part)) / 2;
    }
    case ScheduleKind::step: {
        const Index passed = e / s.every;
        return base * std::pow(s.factor, static_cast<double>(passed));
    }
    case ScheduleKind::milestones: {
        const auto passed = std::ranges::count_if(s.milestones, [&](double fraction) {
            // 0.9 of 10 epochs is epoch 9 although the product may fall short of it by rounding.
            return e >= static_cast<Index>(std::floor(fraction * static_cast<double>(epochs) + 1e-9));
        });
        return base * std::pow(s.factor, static_cast<double>(passed));
    }
    }
    fail(ExitCode::usage, "unknown learning-rate schedule {}", static_cast<int>(s.kind));
}

} // namespace tether::optimise
