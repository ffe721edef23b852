// Keys of the job file that several models have.
#pragma once

#include "tether/core/settings.hpp"

namespace tether::models {

inline Key layers_key(Index standard) {
    return {.name = "layers",
            .kind = Kind::integer,
            .standard = standard,
            .meaning = "message-passing layers",
            .low = 1,
            .high = 64};
}

inline Key width_key(Index standard, const char* meaning = "width of node features and messages") {
    return {.name = "hidden",
            .kind = Kind::integer,
            .standard = standard,
            .meaning = meaning,
            .low = 1,
            .high = 4096};
}

} // namespace tether::models
