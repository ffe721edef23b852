#include "tether/cli/verify_command.hpp"

#include "tether/cli/arguments.hpp"
#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/run/verify.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace tether::cli {
namespace {

std::string cell(const run::PrecisionResult& r) {
    return r.compared && r.worst() != nullptr ? fmt::format("{:.1e}", r.worst()->disagreement) : "-";
}

nlohmann::json as_json(const run::PrecisionResult& r) {
    if (!r.compared || r.worst() == nullptr) {
        return nullptr;
    }
    return {{"worst", r.worst()->disagreement},
            {"where", r.worst()->name},
            {"tolerance", r.tolerance},
            {"compared", r.comparisons.size()},
            {"agrees", r.agrees()}};
}

} // namespace

int verify_command(std::span<const std::string> arguments) {
    const Usage usage{
        .command = "verify",
        .meaning = "Compares this build with an independent implementation: outputs, losses, buffers and "
                   "all gradients of a model file, every step of a trajectory file, in float64 and float32. "
                   "Numbers are the largest differences relative to the largest entry.",
        .positional = "FILE.h5...",
        .least = 1,
        .most = -1,
        .flags = {{.name = "--json", .meaning = "print one JSON list instead of a table"},
                  {.name = "--all", .meaning = "print every comparison, not only the worst"}},
        .example = "tether verify tests/reference/segnn/*.h5"};
    const Arguments a(usage, arguments);
    if (a.help_shown()) {
        return 0;
    }
    nlohmann::json rows = nlohmann::json::array();
    bool all = true;
    int code = 0;
    if (!a.has("--json")) {
        fmt::print("{:<44} {:<10} {:>9} {:>9}  {}\n", "file", "kind", "float64", "float32", "result");
    }
    for (const std::string& path : a.positional()) {
        const std::string name = path.size() > 44 ? "..." + path.substr(path.size() - 41) : path;
        try {
            const run::VerifyResult r = run::verify_file(path);
            all = all && r.agrees();
            const run::PrecisionResult& failing = r.float64.agrees() ? r.float32 : r.float64;
            const std::string verdict =
                r.agrees() ? "ok"
                           : fmt::format("DIFFERS at {}",
                                         failing.worst() ? failing.worst()->name : "nothing compared");
            if (a.has("--json")) {
                rows.push_back({{"file", path},
                                {"kind", r.kind},
                                {"model", r.model},
                                {"float64", as_json(r.float64)},
                                {"float32", as_json(r.float32)},
                                {"note", r.note},
                                {"agrees", r.agrees()}});
            } else {
                fmt::print("{:<44} {:<10} {:>9} {:>9}  {}{}\n", name, r.kind, cell(r.float64),
                           cell(r.float32), verdict, r.note.empty() ? "" : " (" + r.note + ")");
                for (std::size_t i = 0; a.has("--all") && i < r.float64.comparisons.size(); ++i) {
                    fmt::print("    {:<60} {:>9.1e} {:>9}\n", r.float64.comparisons[i].name,
                               r.float64.comparisons[i].disagreement,
                               r.float32.compared
                                   ? fmt::format("{:.1e}", r.float32.comparisons[i].disagreement)
                                   : "-");
                }
            }
        } catch (const Error& e) {
            all = false;
            code = static_cast<int>(e.code());
            log::error("{}", e.what());
            if (a.has("--json")) {
                rows.push_back({{"file", path}, {"error", e.what()}, {"agrees", false}});
            } else {
                fmt::print("{:<44} {:<10} {:>9} {:>9}  not usable\n", name, "-", "-", "-");
            }
        }
    }
    if (a.has("--json")) {
        fmt::print("{}\n", rows.dump(2));
    }
    return all ? 0 : (code != 0 ? code : static_cast<int>(ExitCode::numbers));
}

} // namespace tether::cli
