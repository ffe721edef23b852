// A new set of motions from the files of the database: reading a folder, cutting it into parts.
#include "tether/core/error.hpp"
#include "tether/core/philox.hpp"
#include "tether/data/motion.hpp"
#include "tether/data/skeleton.hpp"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <utility>

namespace tether::data {
namespace {
namespace fs = std::filesystem;

// The first `count` of 0 .. n-1 in random order.
std::vector<Index> drawn(Index n, Index count, RandomStream& random) {
    std::vector<Index> all(static_cast<std::size_t>(n));
    std::iota(all.begin(), all.end(), Index{0});
    for (std::size_t i = all.size(); i > 1; --i) {
        std::swap(all[i - 1], all[random.below(i)]);
    }
    all.resize(static_cast<std::size_t>(count));
    return all;
}

std::vector<fs::path> files_of(const std::string& folder, const std::string& ending) {
    std::vector<fs::path> found;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
        if (entry.is_regular_file() && entry.path().extension() == ending) {
            found.push_back(entry.path());
        }
    }
    std::ranges::sort(found);
    return found;
}

} // namespace

void draw_split(Motion& motion, const MotionSplitPlan& plan) {
    const Index trials = std::ssize(motion.trial_length);
    check(trials >= 3, ExitCode::data,
          "{} trial(s) cannot be cut into train, validation and test; 3 or more are needed", trials);
    const auto starts_in = [&](Index trial) {
        return motion.trial_length[static_cast<std::size_t>(trial)] - 1 - plan.horizon;
    };
    for (Index t = 0; t < trials; ++t) {
        check(starts_in(t) > 0, ExitCode::data,
              "trial '{}' has {} frames; a horizon of {} needs {} or more (the last one has no velocity)",
              motion.trial_name[static_cast<std::size_t>(t)],
              motion.trial_length[static_cast<std::size_t>(t)], plan.horizon, plan.horizon + 2);
    }
    const Index quarter = (trials + 2) / 4;
    RandomStream random(plan.seed, Purpose::split);
    const std::vector<Index> order = drawn(trials, trials, random);
    Index first = 0;
    for (std::size_t s = 0; s < motion.split.size(); ++s) {
        const Index count = s == 0 ? trials - 2 * quarter : quarter;
        MotionSplit& part = motion.split[s];
        part = {};
        part.trial.assign(order.begin() + first, order.begin() + first + count);
        first += count;
        std::ranges::sort(part.trial);
        Index starts = plan.starts;
        for (const Index t : part.trial) {
            starts = std::min(starts, starts_in(t));
        }
        for (const Index t : part.trial) {
            RandomStream own(plan.seed, Purpose::split, 1, static_cast<std::uint64_t>(t));
            part.start_frame.push_back(drawn(starts_in(t), starts, own));
        }
    }
    motion.published_split = false;
    motion.seed = static_cast<std::int64_t>(plan.seed);
}

Motion import_motion(const std::string& folder, const std::function<void(const std::string&)>& reading) {
    check(fs::is_directory(folder), ExitCode::data, "{}: no such folder", folder);
    const std::vector<fs::path> skeletons = files_of(folder, ".asf");
    check(skeletons.size() == 1, ExitCode::data, "{}: holds {} .asf files; one skeleton was expected", folder,
          skeletons.size());
    const std::vector<fs::path> trials = files_of(folder, ".amc");
    check(!trials.empty(), ExitCode::data, "{}: holds no .amc file", folder);
    const auto say = [&](const fs::path& path) {
        if (reading) {
            reading(path.string());
        }
    };
    say(skeletons[0]);
    const Skeleton skeleton = read_asf(skeletons[0].string());
    Motion motion;
    for (const Bone& bone : skeleton.bones) {
        motion.joint_name.push_back(bone.name);
        motion.parent.push_back(bone.parent);
    }
    for (const fs::path& path : trials) {
        say(path);
        const std::vector<double> position = read_amc(path.string(), skeleton);
        motion.trial_name.push_back(path.stem().string());
        motion.trial_length.push_back(std::ssize(position) / (3 * motion.joints()));
        motion.position.insert(motion.position.end(), position.begin(), position.end());
    }
    motion.units = fmt::format("AMC length unit ({:.4f} cm)", skeleton.length_unit_cm);
    motion.source = fmt::format("forward kinematics of {} and {} .amc files",
                                skeletons[0].filename().string(), trials.size());
    motion.licence = "free to use, also commercially; the motion data themselves must not be resold";
    motion.credit = mocap_credit;
    return motion;
}

} // namespace tether::data
