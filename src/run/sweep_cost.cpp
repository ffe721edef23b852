#include "tether/run/sweep_cost.hpp"

#include "tether/core/error.hpp"
#include "tether/parallel/communicator.hpp"
#include "tether/run/benchmark.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <sstream>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace tether::run {
namespace {

using Json = nlohmann::json;

// What a step costs follows from these keys: the others change numbers, not work.
std::string kind_of(const Job& job) {
    std::istringstream lines(job.resolved());
    std::string section, out = job.method.label() + "\n";
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("[")) {
            section = line;
        }
        const bool kept = section == "[data]" || section == "[model]" || section == "[parallel]" ||
                          (section == "[train]" &&
                           (line.starts_with("precision") || line.starts_with("equivariance_samples")));
        if (kept) {
            out += line + "\n";
        }
    }
    return out;
}

std::string measured(const Job& job, Index steps) {
    try {
        const auto alone = parallel::make_self_communicator();
        const BenchmarkResult r = benchmark(
            job, {.steps = steps, .warmup = 2, .threads = 1, .peaks = false, .allocation_count = {}}, *alone);
        return Json{{"step_s", r.step_ms.median * 1e-3},
                    {"steps_per_epoch", r.steps_per_epoch},
                    {"evaluated", r.evaluated},
                    {"branches", r.branches}}
            .dump();
    } catch (const Error& error) {
        return Json{{"code", static_cast<int>(error.code())}, {"error", error.what()}}.dump();
    } catch (const std::exception& error) {
        return Json{{"code", static_cast<int>(ExitCode::numbers)}, {"error", error.what()}}.dump();
    }
}

struct Measured {
    Json values;
    double memory_mb = 0;
};

Measured in_own_process(const Job& job, Index steps) {
    std::array<int, 2> ends{};
    check(::pipe(ends.data()) == 0, ExitCode::storage, "no pipe: {}", std::strerror(errno));
    const pid_t child = ::fork();
    check(child >= 0, ExitCode::storage, "no process for measuring: {}", std::strerror(errno));
    if (child == 0) {
        ::close(ends[0]);
        const std::string text = measured(job, steps);
        const ssize_t written = ::write(ends[1], text.data(), text.size());
        _exit(written == static_cast<ssize_t>(text.size()) ? 0 : 1);
    }
    ::close(ends[1]);
    std::string text;
    std::array<char, 4096> block{};
    for (ssize_t got = 0; (got = ::read(ends[0], block.data(), block.size())) != 0;) {
        if (got > 0) {
            text.append(block.data(), static_cast<std::size_t>(got));
        } else if (errno != EINTR) {
            break;
        }
    }
    ::close(ends[0]);
    int status = 0;
    rusage usage{};
    while (::wait4(child, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    check(WIFEXITED(status) && !text.empty(), ExitCode::numbers,
          "{}: measuring a step ended by signal {} (memory?)", job.name, WTERMSIG(status));
    Json values = Json::parse(text);
    if (values.contains("error")) {
        throw Error(static_cast<ExitCode>(values["code"].get<int>()), values["error"]);
    }
    return {std::move(values), static_cast<double>(usage.ru_maxrss) / 1024};
}

Cost cost_of(const Job& job, const Measured& m) {
    Cost cost;
    cost.memory_mb = m.memory_mb;
    cost.step_s = m.values["step_s"];
    const auto per_epoch = m.values["steps_per_epoch"].get<Index>();
    cost.steps = job.train.epochs * per_epoch;
    if (job.train.steps > 0) {
        cost.steps = std::min(cost.steps, job.train.steps);
    }
    // A forward pass is about a third of a step; equivariance is measured on a hundred samples.
    const double modes = m.values["branches"].get<bool>() ? 2 : 1;
    const double samples =
        m.values["evaluated"].get<double>() + 200 * static_cast<double>(job.train.equivariance_samples);
    const double evaluations =
        1 + static_cast<double>(cost.steps) /
                static_cast<double>(std::max<Index>(1, job.train.evaluate_every * per_epoch));
    cost.seconds = cost.step_s * (static_cast<double>(cost.steps) +
                                  evaluations * modes * samples / static_cast<double>(job.data.batch) / 3);
    return cost;
}

} // namespace

std::vector<Cost> measure_costs(const std::vector<Job>& jobs, Index steps) {
    std::map<std::string, Measured> kinds;
    std::vector<Cost> costs;
    for (const Job& job : jobs) {
        const std::string kind = kind_of(job);
        auto found = kinds.find(kind);
        if (found == kinds.end()) {
            found = kinds.emplace(kind, in_own_process(job, steps)).first;
        }
        costs.push_back(cost_of(job, found->second));
    }
    return costs;
}

} // namespace tether::run
