#include "sweep_table.hpp"

#include "tether/cli/table.hpp"
#include "tether/core/log.hpp"
#include "tether/core/text.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <sys/ioctl.h>
#include <unistd.h>

namespace tether::cli {
namespace {

using run::LedgerRow;
using run::SweepState;
using Json = nlohmann::ordered_json;

constexpr int states = run::sweep_states;

std::array<int, states> count(const std::vector<LedgerRow>& rows) {
    std::array<int, states> out{};
    for (const LedgerRow& row : rows) {
        ++out[static_cast<std::size_t>(row.state)];
    }
    return out;
}

std::string note(const LedgerRow& row) {
    if (!row.holder.empty()) {
        return row.holder;
    }
    if (row.state == SweepState::complete || !run::is_failure(row.code) || row.failures == 0) {
        return "";
    }
    std::string text = fmt::format("exit code {}, {}{}{}", row.code, run::code_meaning(row.code),
                                   row.message.empty() ? "" : ": ", row.message);
    return text.size() > 160 ? text.substr(0, 157) + "..." : text;
}

std::vector<std::string> cells(const LedgerRow& row) {
    const bool known = row.steps > 0;
    return {row.run->id,
            row.run->name,
            std::string(run::state_name(row.state)),
            known ? fmt::format("{}/{}", row.step, row.steps) : fmt::format("{}", row.step),
            known
                ? fmt::format("{:.0f}", 100 * static_cast<double>(row.step) / static_cast<double>(row.steps))
                : "-",
            short_number(row.best),
            fmt::format("{}", row.attempts),
            note(row)};
}

std::string table_of(const std::vector<LedgerRow>& rows, std::size_t most) {
    std::vector<std::vector<std::string>> out{
        {"id", "run", "state", "step", "%", "best test (projected)", "attempts", ""}};
    for (const LedgerRow& row : rows) {
        if (out.size() > most) {
            break;
        }
        out.push_back(cells(row));
    }
    return table_text(out, "lllrrrrl");
}

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

} // namespace

std::string ledger_summary(const std::vector<LedgerRow>& rows) {
    const std::array<int, states> counts = count(rows);
    std::vector<std::string> parts;
    for (int s = states - 1; s >= 0; --s) {
        if (counts[static_cast<std::size_t>(s)] > 0) {
            parts.push_back(fmt::format("{} {}", counts[static_cast<std::size_t>(s)],
                                        run::state_name(static_cast<SweepState>(s))));
        }
    }
    return fmt::format("{} runs: {}", rows.size(), join(parts, ", "));
}

std::string cost_left(const std::vector<LedgerRow>& rows) {
    double seconds = 0;
    for (const LedgerRow& row : rows) {
        if (row.state != SweepState::complete && row.steps > 0) {
            seconds +=
                row.run->cost.seconds * (1 - static_cast<double>(row.step) / static_cast<double>(row.steps));
        }
    }
    return seconds > 0 ? "about " + short_duration(seconds) + " of one core left" : "";
}

std::string ledger_table(const std::vector<LedgerRow>& rows) { return table_of(rows, rows.size()); }

std::string ledger_json(const run::Manifest& manifest, const std::vector<LedgerRow>& rows) {
    const auto figure = [](double x) { return std::isfinite(x) ? Json(x) : Json(nullptr); };
    const std::array<int, states> counts = count(rows);
    Json out{{"sweep", manifest.name}, {"directory", manifest.directory()}, {"counts", Json::object()}};
    for (int s = 0; s < states; ++s) {
        out["counts"][std::string(run::state_name(static_cast<SweepState>(s)))] =
            counts[static_cast<std::size_t>(s)];
    }
    Json list = Json::array();
    for (const LedgerRow& row : rows) {
        Json labels = Json::object();
        for (const auto& [axis, label] : row.run->labels) {
            labels[axis] = label;
        }
        list.push_back({{"id", row.run->id},
                        {"name", row.run->name},
                        {"folder", manifest.folder_of(*row.run)},
                        {"labels", labels},
                        {"state", run::state_name(row.state)},
                        {"step", row.step},
                        {"total_steps", row.steps > 0 ? Json(row.steps) : Json(nullptr)},
                        {"best_test_projected", figure(row.best)},
                        {"attempts", row.attempts},
                        {"failures", row.failures},
                        {"exit_code", row.code},
                        {"message", row.message.empty() ? Json(nullptr) : Json(row.message)},
                        {"lease", row.holder.empty() ? Json(nullptr) : Json(row.holder)},
                        {"expected_s", figure(row.run->cost.seconds)}});
    }
    out["runs"] = std::move(list);
    return out.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

LiveTable::LiveTable() : terminal_(::isatty(STDERR_FILENO) != 0) {}

void LiveTable::show(const std::vector<LedgerRow>& rows, const std::string& event) {
    const auto erase = [&] {
        if (lines_ > 0) {
            fmt::print(stderr, "\033[{}A\033[J", lines_);
            lines_ = 0;
        }
    };
    if (terminal_) {
        erase();
    }
    if (!event.empty()) {
        log::info("{}", event);
    }
    const std::string summary =
        ledger_summary(rows) + (cost_left(rows).empty() ? "" : "; " + cost_left(rows));
    if (!terminal_) {
        if (now() - said_ > 60) {
            log::info("{}", summary);
            said_ = now();
        }
        return;
    }
    // What runs now, as much of it as fits, cut to the width of the terminal.
    winsize size{};
    const bool told = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 && size.ws_row > 6;
    const std::size_t width = told ? size.ws_col - 1U : 79;
    const std::size_t height = told ? size.ws_row - 3U : 20;
    std::vector<LedgerRow> live;
    std::ranges::copy_if(rows, std::back_inserter(live),
                         [](const LedgerRow& row) { return row.state == SweepState::running; });
    const std::string text = (live.empty() ? "" : table_of(live, height)) + summary + "\n";
    std::string out;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = text.find('\n', begin);
        out += text.substr(begin, std::min(end - begin, width)) + "\n";
        begin = end + 1;
        ++lines_;
    }
    fmt::print(stderr, "{}", out);
    std::fflush(stderr);
}

} // namespace tether::cli
