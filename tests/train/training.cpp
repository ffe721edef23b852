#include "tests/train/training.hpp"

#include "tether/run/run_file_reader.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <filesystem>

namespace tether::test {
namespace fs = std::filesystem;

Training Training::with(const std::vector<std::string>& more) const {
    Training out = *this;
    out.keys.insert(out.keys.end(), more.begin(), more.end());
    return out;
}

std::vector<std::string> Training::arguments(const std::string& runs, const Place& place,
                                             const std::vector<std::string>& flags) const {
    const std::string file =
        job.ends_with(".toml") ? job : std::string(TETHER_SOURCE_DIR) + "/jobs/nbody/" + job + ".toml";
    std::vector<std::string> out{"train", file, "--runs", runs, "--threads", std::to_string(place.threads)};
    std::vector<std::string> all = keys;
    all.push_back(std::string("parallel.coordinator=") + (place.dedicated ? "dedicated" : "shared"));
    all.push_back(fmt::format("parallel.lanes_at_once={}", place.lanes_at_once));
    for (const std::string& key : all) {
        out.insert(out.end(), {"--set", key});
    }
    out.insert(out.end(), flags.begin(), flags.end());
    return out;
}

std::vector<std::string> Training::command(const std::string& runs, const Place& place,
                                           const std::vector<std::string>& flags) const {
    const int ranks = place.ranks + (place.dedicated ? 1 : 0);
    std::vector<std::string> list = arguments(runs, place, flags);
    if (ranks > 1 || place.launched) {
        return on_ranks(ranks, list);
    }
    list.insert(list.begin(), program());
    return list;
}

Training small(const std::string& job, Index steps) {
    const bool segnn = job.starts_with("segnn");
    return {job,
            {segnn ? "model.hidden=4x0e+4x1o" : "model.hidden=8", "data.train=60", "data.batch=16",
             "data.validation=24", "data.test=24", fmt::format("train.steps={}", steps),
             "train.epochs=100000", "train.evaluate_every=5", "train.equivariance_samples=1", "log.every=7",
             "log.checkpoint_every_s=0"}};
}

Record read_record(const std::string& folder) {
    const run::RunFileReader reader(folder + "/run.h5");
    Record out;
    out.status = run::run_status_name(reader.state().status);
    out.state_sha256 = reader.state().state_sha256;
    out.steps = reader.state().steps;
    const run::BestFigures& b = reader.state().best;
    out.best = {static_cast<double>(b.projected_step), b.projected_validation, b.projected_test,
                static_cast<double>(b.relaxed_step),   b.relaxed_validation,   b.relaxed_test};
    for (const std::string& table : reader.tables()) {
        for (const std::string& column : reader.columns(table)) {
            if (column != "wall_s" && (table != "/timing" || column == "step")) {
                out.columns[table + "/" + column] = reader.numbers(table, column);
            }
        }
    }
    return out;
}

std::string difference(const Record& found, const Record& expected) {
    if (found.status != expected.status || found.steps != expected.steps) {
        return fmt::format("{} after step {}, expected {} after step {}", found.status, found.steps,
                           expected.status, expected.steps);
    }
    const auto compare = [](const std::string& name, const std::vector<double>& a,
                            const std::vector<double>& b) -> std::string {
        if (a.size() != b.size()) {
            return fmt::format("{}: {} values, expected {}", name, a.size(), b.size());
        }
        for (std::size_t i = 0; i < a.size(); ++i) {
            if (std::bit_cast<std::uint64_t>(a[i]) != std::bit_cast<std::uint64_t>(b[i])) {
                return fmt::format("{}[{}]: {}, expected {}", name, i, a[i], b[i]);
            }
        }
        return "";
    };
    for (const auto& [name, values] : expected.columns) {
        const auto other = found.columns.find(name);
        if (other == found.columns.end()) {
            return name + " is missing";
        }
        if (std::string text = compare(name, other->second, values); !text.empty()) {
            return text;
        }
    }
    if (found.columns.size() != expected.columns.size()) {
        return fmt::format("{} columns, expected {}", found.columns.size(), expected.columns.size());
    }
    if (std::string text = compare("/eval/best", found.best, expected.best); !text.empty()) {
        return text;
    }
    return found.state_sha256 == expected.state_sha256
               ? ""
               : fmt::format("state_sha256 {}, expected {}", found.state_sha256, expected.state_sha256);
}

Index newest_checkpoint(const std::string& folder) {
    Index newest = 0;
    std::error_code error;
    for (fs::directory_iterator item(folder + "/checkpoint", error), end; !error && item != end;
         item.increment(error)) {
        const std::string name = item->path().filename().string();
        if (name.starts_with("step-") && name.ends_with(".ckpt")) {
            newest = std::max<Index>(newest, std::stoll(name.substr(5)));
        }
    }
    return newest;
}

std::string only_run(const std::string& runs) {
    std::vector<std::string> found;
    std::error_code error;
    for (fs::directory_iterator item(runs, error), end; !error && item != end; item.increment(error)) {
        found.push_back(item->path().string());
    }
    EXPECT_LE(found.size(), 1U) << "a second folder was made";
    return found.empty() ? "" : found.front();
}

std::vector<std::string> leftovers(const std::string& folder) {
    static const std::vector<std::string> known{
        "run.h5", "job.toml", "log.txt", "manifest.json", "best-projected.ckpt", "best-relaxed.ckpt"};
    std::vector<std::string> out;
    for (const auto& item : fs::recursive_directory_iterator(folder)) {
        const std::string name = item.path().filename().string();
        const bool step = name.starts_with("step-") && name.ends_with(".ckpt");
        if (item.is_regular_file() && !step && std::ranges::find(known, name) == known.end()) {
            out.push_back(item.path().string());
        }
    }
    return out;
}

Record train(const Training& training, const std::string& runs, const Place& place,
             const std::vector<std::string>& flags) {
    fs::create_directories(runs);
    const Outcome outcome = Process(training.command(runs, place, flags), runs + "/..").wait();
    EXPECT_EQ(outcome.code, 0) << training.job << ", " << place.describe() << "\n" << outcome.err;
    if (outcome.code != 0) {
        return {};
    }
    EXPECT_NE(outcome.folder(), "") << outcome.out;
    EXPECT_EQ(leftovers(outcome.folder()), std::vector<std::string>{});
    return read_record(outcome.folder());
}

} // namespace tether::test
