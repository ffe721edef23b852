#include "tether/cli/launch.hpp"

#include <charconv>
#include <cstdlib>
#include <string_view>

namespace tether::cli {

int launched_rank() {
    for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"}) {
        const char* text = std::getenv(name);
        if (text == nullptr) {
            continue;
        }
        const std::string_view view(text);
        int rank = 0;
        const auto [stop, error] = std::from_chars(view.data(), view.data() + view.size(), rank);
        if (error == std::errc{} && stop == view.data() + view.size() && rank >= 0) {
            return rank;
        }
    }
    return 0;
}

} // namespace tether::cli
