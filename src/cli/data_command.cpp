// See data_command.hpp. Results go to stdout, progress and what is read to stderr. The output appears
// under its name only when it is whole, and never replaces a file unless --force is given.
#include "tether/cli/data_command.hpp"

#include "data_motion.hpp"
#include "tether/cli/arguments.hpp"
#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/core/text.hpp"
#include "tether/data/generator_import.hpp"
#include "tether/data/graph_set.hpp"
#include "tether/data/planets.hpp"
#include "tether/data/simulate.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <numeric>
#include <optional>
#include <vector>

#include <unistd.h>

namespace tether::cli {
namespace {
namespace fs = std::filesystem;

struct SetCommand {
    std::string word, meaning, example;
    std::vector<Flag> flags;
};

std::vector<SetCommand> set_commands() {
    const std::vector<Flag> common{
        {"--out", "FILE.h5", "where to write; an existing file is kept unless --force is given"},
        {"--all-frames", "", "keep every frame instead of 30 and 40"},
        {"--force", "", "replace an existing file"}};
    std::vector<Flag> simulated = common;
    simulated.insert(
        simulated.end(),
        {{"--simulations", "N", "how many (default 14000: 10000 train, 2000 validation, 2000 test)"},
         {"--seed", "S", "a simulation is a pure function of (seed, its number) (default 43)"},
         {"--threads", "N", "default: all cores; the result does not depend on it"}});
    std::vector<Flag> imported = common;
    imported.insert(imported.end(), {{"--from", "FOLDER", "where loc_train_NAME.npy, vel_, charges_ lie"},
                                     {"--suffix", "NAME", "which of several data sets in the folder"}});
    std::vector<Flag> motion{common.front(), common.back()};
    for (Flag& flag : motion_flags()) {
        motion.push_back(std::move(flag));
    }
    const std::vector<Flag> planets{
        common.front(),
        common.back(),
        {"--train", "N", "systems (default 100)"},
        {"--validation", "N", "default 5000"},
        {"--test", "N", "default 5000"},
        {"--out-of-distribution", "N", "systems turned by 90 to 180 degrees (default 5000)"},
        {"--seed", "S", "a system is a pure function of (seed, part, its number) (default 43)"},
        {"--threads", "N", "default: all cores; the result does not depend on it"}};
    return {{"nbody", "simulate charged 5-body systems", "tether data nbody --out data/nbody.h5", simulated},
            {"gravity", "simulate 100 gravitating bodies", "tether data gravity --out data/gravity.h5",
             simulated},
            {"gravity4", "simulate a star and three planets, with a part that is turned far",
             "tether data gravity4 --out data/gravity4.h5", planets},
            {"mocap", "read motion capture (ASF and AMC files of the CMU database)",
             "tether data mocap --from subject35 --out data/walk.h5", motion},
            {"import", "convert .npy files of the EGNN and SEGNN N-body generators",
             "tether data import --from n_body_system/dataset --out data/nbody.h5", imported}};
}

std::string overview_text(const std::vector<SetCommand>& sets) {
    std::string text = "usage: tether data SET --out FILE.h5 [options]\n\n"
                       "Simulates or converts a data set once, into an HDF5 file that jobs name in [data].\n"
                       "`tether data SET --help` lists the options of a set.\n\n";
    for (const SetCommand& set : sets) {
        text += fmt::format("  {:<10} {}\n", set.word, set.meaning);
    }
    return text + fmt::format("\nexample: {}\n", sets.front().example);
}

// Before any work is done: an output that cannot be written later is an error now.
std::string output_path(const Arguments& arguments, const std::string& set) {
    const std::optional<std::string> out = arguments.value("--out");
    check(out.has_value() && !out->empty(), "data {}: --out FILE.h5 is missing", set);
    std::error_code ignored;
    check(arguments.has("--force") || !fs::exists(*out, ignored),
          "{}: exists already; give --force to replace it or another name", *out);
    const fs::path folder = fs::path(*out).parent_path();
    check(folder.empty() || fs::is_directory(folder, ignored), ExitCode::storage,
          "{}: folder {} does not exist", *out, folder.string());
    return *out;
}

// A bar on a terminal, a line every 10 s elsewhere.
class Progress {
public:
    void operator()(Index done, Index total) {
        const double now = std::chrono::duration<double>(Clock::now() - begin_).count();
        const double part = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 1;
        const double left = part > 0 ? now * (1 - part) / part : 0;
        if (terminal_) {
            const auto filled = static_cast<std::size_t>(part * 30);
            fmt::print(stderr, "\r[{}{}] {} of {} simulations, {:.0f} s left   {}", std::string(filled, '='),
                       std::string(30 - filled, ' '), done, total, left, done == total ? "\n" : "");
            std::fflush(stderr);
        } else if (now - last_ >= 10) {
            last_ = now;
            log::info("{} of {} simulations, {:.0f} s left", done, total, left);
        }
    }

private:
    using Clock = std::chrono::steady_clock;
    Clock::time_point begin_ = Clock::now();
    double last_ = 0;
    bool terminal_ = ::isatty(STDERR_FILENO) == 1;
};

std::vector<Index> frames_of(const Arguments& arguments) {
    return arguments.has("--all-frames") ? std::vector<Index>{} : std::vector<Index>{30, 40};
}

data::Trajectories import_files(const Arguments& arguments) {
    const std::optional<std::string> from = arguments.value("--from");
    check(from.has_value(), "data import: --from FOLDER is missing");
    return data::import_generator_files({*from, arguments.value_or("--suffix", ""), frames_of(arguments),
                                         [](const std::string& path) { log::info("reading {}", path); }});
}

data::Trajectories simulate(bool gravity, const Arguments& arguments) {
    data::SimulationPlan plan;
    plan.simulations = arguments.integer_or("--simulations", 14000, 7, 100000000); // 7: no split is empty
    plan.seed = static_cast<std::uint64_t>(arguments.integer_or("--seed", 43, 0, INT64_MAX));
    plan.threads = static_cast<int>(arguments.integer_or("--threads", 0, 1, 4096));
    plan.frames = frames_of(arguments);
    if (plan.frames.empty()) {
        plan.frames.resize(static_cast<std::size_t>(gravity ? data::gravity_frames : data::charged_frames));
        std::iota(plan.frames.begin(), plan.frames.end(), Index{0});
    }
    plan.progress = Progress{};
    log::info("simulating {} {} systems, seed {}", plan.simulations, gravity ? "gravity" : "charged",
              plan.seed);
    return gravity ? data::simulate_gravity(plan) : data::simulate_charged(plan);
}

data::Trajectories planets(const Arguments& arguments) {
    data::PlanetPlan plan;
    const auto take = [&](const char* flag, data::Split part, Index low) {
        Index& count = plan.count[static_cast<std::size_t>(part)];
        count = arguments.integer_or(flag, count, low, 100000000);
    };
    take("--train", data::Split::train, 1);
    take("--validation", data::Split::validation, 1);
    take("--test", data::Split::test, 1);
    take("--out-of-distribution", data::Split::out_of_distribution, 0);
    plan.seed = static_cast<std::uint64_t>(arguments.integer_or("--seed", 43, 0, INT64_MAX));
    plan.threads = static_cast<int>(arguments.integer_or("--threads", 0, 1, 4096));
    plan.progress = Progress{};
    log::info("simulating systems of four bodies, seed {}", plan.seed);
    data::PlanetSystems made = data::simulate_planets(plan);
    for (std::size_t p = 0; p < made.dropped.size(); ++p) {
        log::info("{}: {} kept, {} dropped in which a body moves more than {}",
                  data::split_name(static_cast<data::Split>(p)), plan.count[p], made.dropped[p],
                  data::planet_reach);
    }
    return std::move(made.trajectories);
}

} // namespace

int data_command(std::span<const std::string> arguments) {
    const std::vector<SetCommand> sets = set_commands();
    if (arguments.empty() || arguments[0] == "--help") {
        fmt::print(arguments.empty() ? stderr : stdout, "{}", overview_text(sets));
        return static_cast<int>(arguments.empty() ? ExitCode::usage : ExitCode::ok);
    }
    const auto set = std::ranges::find(sets, arguments[0], &SetCommand::word);
    std::vector<std::string> words;
    std::ranges::transform(sets, std::back_inserter(words), &SetCommand::word);
    check(set != sets.end(), "data: no set '{}'{}", arguments[0], hint(arguments[0], words));
    Usage usage;
    usage.command = "data " + set->word;
    usage.meaning = set->meaning;
    usage.flags = set->flags;
    usage.example = set->example;
    const Arguments parsed(usage, arguments.subspan(1));
    if (parsed.help_shown()) {
        return 0;
    }
    const std::string out = output_path(parsed, set->word);
    if (set->word == "mocap") {
        return convert_motion(parsed, out);
    }
    const data::Trajectories made = set->word == "import"     ? import_files(parsed)
                                    : set->word == "gravity4" ? planets(parsed)
                                                              : simulate(set->word == "gravity", parsed);
    const std::string checksum = data::write_trajectories(out, made);
    const auto count = [&](data::Split which) {
        return std::ranges::count(made.split, static_cast<int>(which));
    };
    const Index outside = count(data::Split::out_of_distribution);
    fmt::print("wrote {}: {} simulations of {} bodies ({} train, {} validation, {} test{}), {}\nsha256 {}\n",
               out, made.simulations, made.bodies, count(data::Split::train), count(data::Split::validation),
               count(data::Split::test), outside > 0 ? fmt::format(", {} out of distribution", outside) : "",
               made.frames.size() > 6
                   ? fmt::format("frames {} to {}", made.frames.front(), made.frames.back())
                   : fmt::format("frames {}", fmt::join(made.frames, ", ")),
               checksum);
    return 0;
}

} // namespace tether::cli
