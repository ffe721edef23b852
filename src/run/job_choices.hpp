// The data sets, models and methods of this library with the keys each of them adds to the table.
#pragma once

#include "tether/core/settings.hpp"

#include <vector>

namespace tether::run {

[[nodiscard]] std::vector<Choice> built_in_choices();

} // namespace tether::run
