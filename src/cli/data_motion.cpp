#include "data_motion.hpp"

#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/data/graph_set.hpp"
#include "tether/data/motion.hpp"

#include <filesystem>

namespace tether::cli {

std::vector<Flag> motion_flags() {
    return {{"--from", "FOLDER|FILE.h5",
             "one .asf and its .amc files; or a file of this layout, whose split is kept"},
            {"--horizon", "N", "frames ahead that every sample must have (default 30; with a folder)"},
            {"--starts", "N", "samples of a trial at most (default 100; with a folder)"},
            {"--seed", "S", "of the split, a pure function of it (default 1; with a folder)"}};
}

int convert_motion(const Arguments& arguments, const std::string& out) {
    const std::optional<std::string> from = arguments.value("--from");
    check(from.has_value(), "data mocap: --from FOLDER or --from FILE.h5 is missing");
    const auto say = [](const std::string& path) { log::info("reading {}", path); };
    std::error_code ignored;
    data::Motion motion;
    if (std::filesystem::is_directory(*from, ignored)) {
        data::MotionSplitPlan plan;
        plan.horizon = arguments.integer_or("--horizon", plan.horizon, 1, 1'000'000);
        plan.starts = arguments.integer_or("--starts", plan.starts, 1, 1'000'000);
        plan.seed = static_cast<std::uint64_t>(arguments.integer_or("--seed", 1, 0, INT64_MAX));
        motion = data::import_motion(*from, say);
        data::draw_split(motion, plan);
    } else {
        for (const char* flag : {"--horizon", "--starts", "--seed"}) {
            check(!arguments.has(flag), "data mocap: {} draws a split; {} has one already", flag, *from);
        }
        say(*from);
        motion = data::read_motion(*from);
        if (motion.source.empty()) {
            motion.source = std::filesystem::path(*from).filename().string();
        }
    }
    const std::string checksum = data::write_motion(out, motion);
    const auto samples = [&](data::Split which) {
        const data::MotionSplit& part = motion.split[static_cast<std::size_t>(which)];
        Index count = 0;
        for (const auto& starts : part.start_frame) {
            count += std::ssize(starts);
        }
        return fmt::format("{} {} trials ({} samples)", part.trial.size(), data::split_name(which), count);
    };
    fmt::print("wrote {}: {} frames of {} joints in {} trials; {}, {}, {}; {}\n{}\nsha256 {}\n", out,
               std::ssize(motion.position) / (3 * motion.joints()), motion.joints(),
               motion.trial_length.size(), samples(data::Split::train), samples(data::Split::validation),
               samples(data::Split::test), motion.units, motion.credit, checksum);
    return 0;
}

} // namespace tether::cli
