// Reads only the ends of the tables: a look at a long run costs no more than at a short one.
#include "tether/run/run_status.hpp"

#include "tether/core/error.hpp"
#include "tether/run/run_file_reader.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>

namespace tether::run {
namespace {

constexpr Index rate_rows = 20;

double last_of(const RunFileReader& file, const std::string& table, const std::string& column) {
    const Index rows = file.rows(table);
    return rows == 0 ? RunReport::nan : file.numbers(table, column, rows - 1, 1).front();
}

void range_of(const RunFileReader& file, const std::string& column, double& low, double& high) {
    const Index rows = file.rows("/constraint");
    if (rows == 0 || file.sites().empty()) {
        return;
    }
    const std::vector<double> values = file.numbers("/constraint", column, rows - 1, 1);
    const auto [least, greatest] = std::ranges::minmax(values);
    low = least;
    high = greatest;
}

void read_figures(const RunFileReader& file, RunReport& out) {
    out.model = file.text("model");
    out.method = file.text("method");
    out.metric = file.text("metric");
    if (const std::string units = file.units("/eval/validation", "projected"); units != "1") {
        out.metric += " [" + units + "]";
    }
    out.step = file.state().steps;
    out.total_steps = file.integer("total_steps");
    out.best = file.state().best;
    out.loss = last_of(file, "/train", "loss");
    out.projected = last_of(file, "/eval/validation", "projected");
    out.relaxed = last_of(file, "/eval/validation", "relaxed");
    range_of(file, "gamma", out.gamma_low, out.gamma_high);
    range_of(file, "lambda", out.lambda_low, out.lambda_high);

    const Index rows = file.rows("/train");
    const Index count = std::min(rows, rate_rows);
    if (count >= 2) {
        const std::vector<Index> steps = file.steps("/train", rows - count, count);
        const std::vector<double> wall = file.numbers("/train", "wall_s", rows - count, count);
        const double seconds = wall.back() - wall.front();
        if (seconds > 0) {
            out.steps_per_s = static_cast<double>(steps.back() - steps.front()) / seconds;
        }
    }
}

} // namespace

RunReport inspect_run(const std::string& folder) {
    RunReport out;
    out.folder = folder;
    const bool live = lease_is_live(folder);
    if (const auto holder = read_lease(folder); live && holder) {
        out.holder = holder->describe();
    }
    std::error_code error;
    if (!std::filesystem::exists(folder + "/run.h5", error)) {
        const bool begun = std::filesystem::exists(folder + "/checkpoint", error) ||
                           !std::filesystem::exists(folder + "/job.toml", error);
        out.condition = live    ? RunCondition::starting
                        : begun ? RunCondition::unreadable
                                : RunCondition::waiting;
        out.problem = live || !begun ? "" : folder + "/run.h5: there is no such run file";
        return out;
    }
    try {
        const RunFileReader file(folder + "/run.h5");
        read_figures(file, out);
        out.condition = run_condition(file.state().status, live);
        if (out.condition == RunCondition::running && out.steps_per_s > 0) {
            out.eta_s = static_cast<double>(std::max<Index>(out.total_steps - out.step, 0)) / out.steps_per_s;
        }
    } catch (const Error& problem) {
        out.condition = RunCondition::unreadable;
        out.problem = problem.what();
    }
    return out;
}

} // namespace tether::run
