// Table and JSON of inspect_run() over all runs named. A damaged run is a line of the table and a
// message; the others are shown all the same. Only where none can be read the exit code is 3.
#include "tether/cli/status_command.hpp"

#include "tether/cli/arguments.hpp"
#include "tether/cli/table.hpp"
#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/run/run_status.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

namespace tether::cli {
namespace {

using run::RunCondition;
using run::RunReport;
using Json = nlohmann::json;

Usage usage() {
    return {
        .command = "status",
        .meaning =
            "Shows what runs are doing: state, progress, rate, time left, last losses, range of the degrees "
            "of symmetry (gamma) and multipliers (lambda), and who writes them. RUN is a run folder, its "
            "run.h5, or a folder of runs. States: waiting (of a sweep, not begun), running, starting (no run "
            "file yet), stopped (goes on "
            "with the same train command), killed (likewise; it had no time to say so), complete, failed, "
            "unreadable. Runs that cannot be read are named on stderr; exit code 3 where none can.",
        .positional = "RUN...",
        .least = 1,
        .most = -1,
        .flags = {{"--json", "", "one JSON array instead of the table"}},
        .example = "tether status runs"};
}

std::string range(double low, double high) {
    return std::isfinite(low) ? fmt::format("{:.2g}..{:.2g}", low, high) : "-";
}

std::string percent(const RunReport& report) {
    return report.total_steps > 0 ? fmt::format("{:.1f}", 100 * static_cast<double>(report.step) /
                                                              static_cast<double>(report.total_steps))
                                  : "-";
}

std::vector<std::string> row_of(const RunReport& report) {
    return {std::filesystem::path(report.folder).filename().string(),
            std::string(run::condition_name(report.condition)),
            report.condition == RunCondition::unreadable || report.condition == RunCondition::waiting
                ? "-"
                : fmt::format("{}/{}", report.step, report.total_steps),
            percent(report),
            short_number(report.steps_per_s),
            short_duration(report.eta_s),
            short_number(report.loss),
            short_number(report.projected),
            short_number(report.relaxed),
            range(report.gamma_low, report.gamma_high),
            range(report.lambda_low, report.lambda_high),
            report.holder.empty() ? "-" : report.holder};
}

void print_table(const std::vector<RunReport>& reports) {
    std::vector<std::vector<std::string>> rows{{"run", "status", "step", "%", "steps/s", "ETA", "loss",
                                                "val projected", "val relaxed", "gamma", "lambda",
                                                "written by"}};
    for (const RunReport& report : reports) {
        rows.push_back(row_of(report));
    }
    fmt::print("{}", table_text(rows, "llrrrrrrrrrl"));
}

// JSON knows no NaN: what is not known is null.
Json figure(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json json_of(const RunReport& report) {
    const run::BestFigures& best = report.best;
    return {{"run", report.folder},
            {"status", run::condition_name(report.condition)},
            {"problem", report.problem.empty() ? Json(nullptr) : Json(report.problem)},
            {"lease", report.holder.empty() ? Json(nullptr) : Json(report.holder)},
            {"model", report.model},
            {"method", report.method},
            {"step", report.step},
            {"total_steps", report.total_steps},
            {"steps_per_s", figure(report.steps_per_s)},
            {"eta_s", figure(report.eta_s)},
            {"loss", figure(report.loss)},
            {"metric", report.metric},
            {"validation", {{"projected", figure(report.projected)}, {"relaxed", figure(report.relaxed)}}},
            {"gamma", {figure(report.gamma_low), figure(report.gamma_high)}},
            {"lambda", {figure(report.lambda_low), figure(report.lambda_high)}},
            {"best",
             {{"projected_step", best.projected_step},
              {"projected_validation", figure(best.projected_validation)},
              {"projected_test", figure(best.projected_test)},
              {"relaxed_step", best.relaxed_step},
              {"relaxed_validation", figure(best.relaxed_validation)},
              {"relaxed_test", figure(best.relaxed_test)}}}};
}

} // namespace

int status_command(std::span<const std::string> arguments) {
    const Arguments given(usage(), arguments);
    if (given.help_shown()) {
        return 0;
    }
    std::vector<RunReport> reports;
    bool any_readable = false;
    for (const std::string& path : given.positional()) {
        const std::vector<std::string> found = run::find_runs(path);
        if (found.empty()) {
            log::error("{}: there is no run here", path);
        }
        for (const std::string& folder : found) {
            reports.push_back(run::inspect_run(folder));
            if (reports.back().condition == RunCondition::unreadable) {
                log::error("{}", reports.back().problem);
            } else {
                any_readable = true;
            }
        }
    }
    if (given.has("--json")) {
        Json out = Json::array();
        for (const RunReport& report : reports) {
            out.push_back(json_of(report));
        }
        fmt::print("{}\n", out.dump(1));
    } else if (!reports.empty()) {
        print_table(reports);
    }
    std::fflush(stdout);
    return any_readable ? 0 : static_cast<int>(ExitCode::data);
}

} // namespace tether::cli
