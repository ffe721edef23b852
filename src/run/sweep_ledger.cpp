#include "tether/run/sweep_ledger.hpp"

#include "tether/core/error.hpp"
#include "tether/run/provenance.hpp"
#include "tether/run/run_file_reader.hpp"
#include "tether/run/run_folder.hpp"
#include "tether/run/run_storage.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <cerrno>
#include <cmath>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <unistd.h>

namespace tether::run {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, sweep_states> names{"waiting",     "queued", "running", "stopped",
                                                           "interrupted", "failed", "complete"};
constexpr std::string_view held_elsewhere = "is being written by";

struct Attempts {
    int begun = 0, failures = 0, code = 0;
    bool final = false; // the last failure would come again
    std::string message;
};

Attempts read_attempts(const std::string& path) {
    Attempts out;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        const Json event = Json::parse(line, nullptr, false);
        if (!event.is_object()) {
            continue;
        }
        const auto text = [&](const char* key) {
            const auto found = event.find(key);
            return found != event.end() && found->is_string() ? found->get<std::string>() : std::string();
        };
        const std::string what = text("event");
        if (what == "begin") {
            ++out.begun;
        } else if (what == "retry") {
            out.failures = 0;
            out.final = false;
        } else if (what == "end") {
            const auto code = event.find("code");
            out.code = code != event.end() && code->is_number_integer() ? code->get<int>() : 1;
            out.message = text("message");
            out.failures += is_failure(out.code) ? 1 : 0;
            out.final = comes_again(out.code);
        }
    }
    return out;
}

} // namespace

std::string_view state_name(SweepState state) { return names[static_cast<std::size_t>(state)]; }

bool is_failure(int code) {
    return code != static_cast<int>(ExitCode::ok) && code != static_cast<int>(ExitCode::requeue);
}

bool comes_again(int code) {
    return code == static_cast<int>(ExitCode::usage) || code == static_cast<int>(ExitCode::data) ||
           code == static_cast<int>(ExitCode::numbers);
}

std::string code_meaning(int code) {
    switch (static_cast<ExitCode>(code)) {
    case ExitCode::ok: return "done";
    case ExitCode::usage: return "usage or configuration";
    case ExitCode::data: return "data";
    case ExitCode::numbers: return "numbers (NaN, divergence)";
    case ExitCode::peer: return "peer lost or hang";
    case ExitCode::storage: return "storage";
    case ExitCode::device: return "device";
    case ExitCode::requeue: return "checkpointed";
    }
    return code > 128 ? fmt::format("signal {}", code - 128) : "unforeseen";
}

LedgerRow Ledger::row(const PlannedRun& run, const std::set<std::string>& queued) const {
    LedgerRow row;
    row.run = &run;
    row.steps = run.cost.steps;
    row.best = Cost::nan;
    const Attempts attempts = read_attempts(manifest_.directory() + "/attempts/" + run.id + ".jsonl");
    row.attempts = attempts.begun;
    row.failures = attempts.failures;
    row.code = attempts.code;
    row.message = attempts.message;
    const std::string folder = manifest_.folder_of(run);
    RunCondition condition = RunCondition::waiting;
    if (const auto state = peek_state(folder + "/run.h5")) {
        row.step = state->steps;
        row.best = state->best.projected_test;
        if (state->status == RunStatus::complete) {
            row.state = SweepState::complete;
            return row;
        }
        condition = run_condition(state->status, false);
    }
    if (lease_is_live(folder)) {
        const auto holder = read_lease(folder);
        row.holder = holder ? holder->describe() : "";
        row.state = SweepState::running;
    } else if (attempts.final || attempts.failures >= manifest_.retries) {
        row.state = SweepState::failed;
    } else if (queued.contains(run.id)) {
        row.state = SweepState::queued;
    } else if (condition == RunCondition::stopped) {
        row.state = SweepState::stopped;
    } else if (attempts.begun > 0 || condition != RunCondition::waiting) {
        row.state = SweepState::interrupted;
    }
    return row;
}

std::vector<LedgerRow> Ledger::rows(const std::set<std::string>& queued) const {
    std::vector<LedgerRow> out;
    for (const PlannedRun& run : manifest_.runs) {
        out.push_back(row(run, queued));
    }
    return out;
}

void Ledger::append(const PlannedRun& run, const std::string& line) const {
    const std::string path = manifest_.directory() + "/attempts/" + run.id + ".jsonl";
    // A line that was cut off must not swallow this one.
    const std::string text = "\n" + line + "\n";
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    const ssize_t written = file < 0 ? -1 : ::write(file, text.data(), text.size());
    const int synced = written < 0 ? -1 : ::fsync(file);
    const int reason = errno;
    if (file >= 0) {
        ::close(file);
    }
    if (written != static_cast<ssize_t>(text.size()) || synced != 0) {
        storage_failure(path, "append to the ledger", written >= 0 && synced == 0 ? ENOSPC : reason);
    }
}

void Ledger::record_begin(const PlannedRun& run, const std::string& by) const {
    append(run, Json{{"event", "begin"}, {"time", utc_now()}, {"by", by}, {"host", host_name()}}.dump());
}

bool Ledger::record_end(const PlannedRun& run, int code, const std::string& log_file, long long from) const {
    const std::string message = is_failure(code) ? last_error(log_file, from) : "";
    const bool refused =
        code == static_cast<int>(ExitCode::usage) && message.find(held_elsewhere) != std::string::npos;
    append(run, Json{{"event", refused ? "refused" : "end"},
                     {"time", utc_now()},
                     {"code", code},
                     {"message", message}}
                    .dump(-1, ' ', true, Json::error_handler_t::replace));
    return !refused;
}

void Ledger::record_retry(const PlannedRun& run) const {
    append(run, Json{{"event", "retry"}, {"time", utc_now()}}.dump());
}

std::string last_error(const std::string& log_file, long long from) {
    constexpr std::streamoff tail = 65536;
    std::ifstream file(log_file, std::ios::binary);
    file.seekg(0, std::ios::end);
    const std::streamoff size = file.tellg();
    file.seekg(std::max<std::streamoff>({0, size - tail, from}));
    std::string found;
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("error: ")) { // a launcher's own lines begin with its name
            found = line.substr(7, 2000);
        }
    }
    return found;
}

} // namespace tether::run
