// See data_command.hpp. Results go to stdout, progress and what is read to stderr. The output appears
// under its name only when it is whole, and never replaces a file unless --force is given.
#include "tether/cli/data_command.hpp"

#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/core/text.hpp"
#include "tether/data/generator_import.hpp"
#include "tether/data/graph_set.hpp"
#include "tether/data/simulate.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <numeric>
#include <vector>

#include <unistd.h>

namespace tether::cli {
namespace {
namespace fs = std::filesystem;

struct Options {
    std::string out, from, suffix;
    Index simulations = 14000;
    Index seed = 43;
    Index threads = 0;
    bool all_frames = false;
    bool force = false;
};

constexpr const char* help = R"(usage: tether data SET --out FILE.h5 [options]

Simulates or converts a data set once, into an HDF5 file that jobs name in [data].

  nbody      charged 5-body system, positions at frame 40 from the state at frame 30
  gravity    100 gravitating bodies, likewise
  import     .npy files of the EGNN and SEGNN N-body generators (loc_train_*.npy, vel_, charges_)

  --out FILE.h5       where to write; an existing file is kept unless --force is given
  --simulations N     nbody, gravity: how many (default 14000: 10000 train, 2000 validation, 2000 test)
  --seed S            nbody, gravity: every simulation is a pure function of (seed, its number) (default 43)
  --threads N         nbody, gravity: threads (default: all cores); the result does not depend on it
  --from FOLDER       import: where the .npy files lie
  --suffix NAME       import: which of several data sets in the folder, as in loc_train_NAME.npy
  --all-frames        keep every frame instead of 30 and 40
  --force             replace an existing file

example: tether data nbody --out data/nbody.h5
)";

Index number(const std::string& flag, const std::string& text, Index low, Index high) {
    Index value = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    check(error == std::errc{} && stop == text.data() + text.size() && value >= low && value <= high,
          "data: {} is '{}'; an integer from {} to {} was expected", flag, text, low, high);
    return value;
}

Options parse(const std::string& set, std::span<const std::string> arguments) {
    const bool import = set == "import";
    std::vector<std::string> known{"--out", "--all-frames", "--force", "--help"};
    for (const char* flag : import ? std::vector<const char*>{"--from", "--suffix"}
                                   : std::vector<const char*>{"--simulations", "--seed", "--threads"}) {
        known.emplace_back(flag);
    }
    Options options;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        std::string flag = arguments[i];
        check(std::ranges::find(known, flag.substr(0, flag.find('='))) != known.end(),
              "data {}: unknown argument '{}'{}", set, flag, hint(flag.substr(0, flag.find('=')), known));
        std::string value;
        if (const std::size_t equals = flag.find('='); equals != std::string::npos) {
            value = flag.substr(equals + 1);
            flag.resize(equals);
        } else if (flag != "--all-frames" && flag != "--force") {
            check(i + 1 < arguments.size(), "data {}: {} needs a value", set, flag);
            value = arguments[++i];
        }
        if (flag == "--out") {
            options.out = value;
        } else if (flag == "--from") {
            options.from = value;
        } else if (flag == "--suffix") {
            options.suffix = value;
        } else if (flag == "--simulations") {
            options.simulations = number(flag, value, 7, 100000000); // 7: no split is empty
        } else if (flag == "--seed") {
            options.seed = number(flag, value, 0, INT64_MAX);
        } else if (flag == "--threads") {
            options.threads = number(flag, value, 1, 4096);
        } else if (flag == "--all-frames") {
            options.all_frames = true;
        } else {
            options.force = true;
        }
    }
    check(!options.out.empty(), "data {}: --out FILE.h5 is missing", set);
    check(!import || !options.from.empty(), "data import: --from FOLDER is missing");
    std::error_code ignored;
    check(options.force || !fs::exists(options.out, ignored),
          "{}: exists already; give --force to replace it or another name", options.out);
    const fs::path folder = fs::path(options.out).parent_path();
    check(folder.empty() || fs::is_directory(folder, ignored), ExitCode::storage,
          "{}: folder {} does not exist", options.out, folder.string());
    return options;
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

data::Trajectories make(const std::string& set, const Options& options) {
    const std::vector<Index> task_frames{30, 40};
    if (set == "import") {
        return data::import_generator_files({options.from, options.suffix,
                                             options.all_frames ? std::vector<Index>{} : task_frames,
                                             [](const std::string& path) { log::info("reading {}", path); }});
    }
    const bool gravity = set == "gravity";
    data::SimulationPlan plan;
    plan.simulations = options.simulations;
    plan.seed = static_cast<std::uint64_t>(options.seed);
    plan.threads = static_cast<int>(options.threads);
    plan.frames = task_frames;
    if (options.all_frames) {
        plan.frames.resize(static_cast<std::size_t>(gravity ? data::gravity_frames : data::charged_frames));
        std::iota(plan.frames.begin(), plan.frames.end(), Index{0});
    }
    plan.progress = Progress{};
    log::info("simulating {} {} systems, seed {}", plan.simulations, gravity ? "gravity" : "charged",
              plan.seed);
    return gravity ? data::simulate_gravity(plan) : data::simulate_charged(plan);
}

} // namespace

int data_command(std::span<const std::string> arguments) {
    if (arguments.empty() || std::ranges::find(arguments, "--help") != arguments.end() ||
        arguments[0] == "-h") {
        fmt::print(arguments.empty() ? stderr : stdout, "{}", help);
        return static_cast<int>(arguments.empty() ? ExitCode::usage : ExitCode::ok);
    }
    const std::vector<std::string> sets{"nbody", "gravity", "import"};
    check(std::ranges::find(sets, arguments[0]) != sets.end(), "data: no set '{}'{}", arguments[0],
          hint(arguments[0], sets));
    const Options options = parse(arguments[0], arguments.subspan(1));
    const data::Trajectories made = make(arguments[0], options);
    const std::string checksum = data::write_trajectories(options.out, made);
    const auto count = [&](data::Split which) {
        return std::ranges::count(made.split, static_cast<int>(which));
    };
    fmt::print("wrote {}: {} simulations of {} bodies ({} train, {} validation, {} test), {}\nsha256 {}\n",
               options.out, made.simulations, made.bodies, count(data::Split::train),
               count(data::Split::validation), count(data::Split::test),
               made.frames.size() > 6
                   ? fmt::format("frames {} to {}", made.frames.front(), made.frames.back())
                   : fmt::format("frames {}", fmt::join(made.frames, ", ")),
               checksum);
    return 0;
}

} // namespace tether::cli
