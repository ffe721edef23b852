#include "tether/cli/export_command.hpp"

#include "tether/cli/arguments.hpp"
#include "tether/core/error.hpp"
#include "tether/run/setup.hpp"
#include "tether/run/stored_run.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <system_error>

namespace tether::cli {

int export_command(std::span<const std::string> arguments) {
    const Usage usage{.command = "export",
                      .meaning = "Writes the parameters and buffers of a run as plain HDF5, under the names "
                                 "and in the layouts of the "
                                 "published implementations (/weight/<name>, gates in /gamma). Works while "
                                 "the run is being trained.",
                      .positional = "RUN",
                      .least = 1,
                      .most = 1,
                      .flags = {{.name = "--out", .value = "FILE.h5", .meaning = "where to write (required)"},
                                {.name = "--checkpoint",
                                 .value = "KIND",
                                 .meaning = "best-projected, best-relaxed or last (default: the best of the "
                                            "method's primary evaluation)",
                                 .words = {"best-projected", "best-relaxed", "last"}},
                                {.name = "--projected",
                                 .meaning = "the equivariant network alone: no free branches, no gates"},
                                {.name = "--force", .meaning = "replace an existing file"},
                                {.name = "--json", .meaning = "print one JSON object"}},
                      .example = "tether export runs/segnn-ace-0123456789ab --out weights.h5"};
    const Arguments a(usage, arguments);
    if (a.help_shown()) {
        return 0;
    }
    check(a.has("--out"), "export: --out FILE.h5 is missing: where to write the weights");
    const std::string out = *a.value("--out");
    std::error_code ignored;
    check(a.has("--force") || !std::filesystem::exists(out, ignored),
          "{}: exists already; give --force to replace it or another name", out);
    const auto kind = a.value("--checkpoint");
    const run::StoredRun run(a.positional().front(),
                             kind ? std::optional(run::kind_of(*kind)) : std::nullopt);
    std::unique_ptr<run::Network> equivariant;
    if (a.has("--projected")) {
        equivariant = std::make_unique<run::Network>(run::make_model(run.job()), methods::SitePolicy{});
    }
    const run::Network& written = equivariant ? *equivariant : run.network();
    run::write_weights(out, run.job(), run.step(), written, run.network(), run.numbers());
    const Index count = written.parameters().size();
    if (a.has("--json")) {
        fmt::print("{}\n", nlohmann::json{{"file", out},
                                          {"run", run.folder()},
                                          {"checkpoint", run.checkpoint()},
                                          {"step", run.step()},
                                          {"parameters", count},
                                          {"sites", written.sites()}}
                               .dump(1));
    } else {
        fmt::print("{}: {} parameters, {} gates, {} numbers in buffers, of step {} ({})\n", out, count,
                   written.sites(), written.states().size(), run.step(), run.checkpoint());
    }
    return 0;
}

} // namespace tether::cli
