// Reading looks at names first, then shapes, then settings that no shape shows, then numbers: the
// first message is about the most likely mistake.
#include "tether/run/weights.hpp"

#include "tether/core/crash_guard.hpp"
#include "tether/core/error.hpp"
#include "tether/core/hdf5.hpp"
#include "tether/core/text.hpp"
#include "tether/symmetry/irreps.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace tether::run {
namespace {

using nlohmann::json;

const std::string folder = "/weight/";

struct Expected {
    std::string name;
    std::vector<Index> shape;
    bool may_be_absent = false; // a gate that /gamma gives
};

std::vector<Expected> expected_of(const Network& network, bool has_gamma) {
    std::vector<Expected> all;
    for (const Parameter& p : network.parameters().all()) {
        all.push_back({p.name, p.shape, has_gamma && p.kind == ParameterKind::gate});
    }
    for (const StateBuffer& b : network.states().all()) {
        all.push_back({b.name, b.shape, false});
    }
    return all;
}

// A list for people: the first names, each with the nearest of the others, and how many more.
std::string some(const std::vector<std::string>& names, const std::vector<std::string>& others) {
    constexpr std::size_t shown = 12;
    std::vector<std::string> first;
    for (const std::string& name : std::span(names).first(std::min(shown, names.size()))) {
        const std::string nearest = nearest_name(name, others);
        first.push_back(nearest.empty() ? folder + name
                                        : fmt::format("{}{} (nearest: {})", folder, name, nearest));
    }
    const std::string text = join(first, ", ");
    return names.size() > shown ? fmt::format("{} and {} more", text, names.size() - shown) : text;
}

void check_names(const hdf5::Reader& file, const Job& job, const std::vector<Expected>& expected,
                 const std::vector<std::string>& found) {
    std::vector<std::string> known;
    std::vector<std::string> only_found; // names of the file that the network does not have
    std::vector<std::string> only_known;
    for (const Expected& e : expected) {
        known.push_back(e.name);
        if (std::ranges::find(found, e.name) == found.end() && !e.may_be_absent) {
            only_known.push_back(e.name);
        }
    }
    std::ranges::copy_if(found, std::back_inserter(only_found), [&](const std::string& name) {
        return std::ranges::find(known, name) == known.end();
    });
    if (only_known.empty() && only_found.empty()) {
        return;
    }
    std::string text;
    if (!only_known.empty()) {
        text += fmt::format("; {} missing: {}", only_known.size(), some(only_known, only_found));
    }
    if (!only_found.empty()) {
        text += fmt::format("; {} unknown: {}", only_found.size(), some(only_found, only_known));
    }
    fail(ExitCode::data,
         "{}: {} datasets in /weight, expected the {} of {} with method {} (another method has other free "
         "branches: see "
         "method.name, and export --projected){}",
         file.path(), found.size(), expected.size(), job.model.name, job.method.label(), text);
}

void check_settings(const hdf5::Reader& file, const json& expected) {
    if (!file.has_attribute("/", "settings")) {
        return;
    }
    const json settings = json::parse(file.text_attribute("/", "settings"), nullptr, false);
    check(settings.is_object(), ExitCode::data, "{}: attribute settings is no JSON object", file.path());
    for (const char* name :
         {"hidden_irreps", "attribute_irreps", "layers", "harmonics", "norm", "pool", "hidden"}) {
        check(!settings.contains(name) || !expected.contains(name) || settings[name] == expected[name],
              ExitCode::data, "{}: attribute settings: {} is {}, expected {} as in the job", file.path(),
              name, settings.value(name, json()).dump(), expected.value(name, json()).dump());
    }
}

std::vector<double> read_numbers(const hdf5::Reader& file, const std::string& path) {
    std::vector<double> values = file.doubles(path);
    for (std::size_t i = 0; i < values.size(); ++i) {
        check(std::isfinite(values[i]), ExitCode::data, "{}:{}: number {} is {}, expected a finite one",
              file.path(), path, i, values[i]);
    }
    return values;
}

} // namespace

std::string weights_model(const Job& job, const Network& network) {
    return job.model.name == "egnn" && network.sites() > 0 ? "egnn with sites" : job.model.name;
}

json weights_settings(const Job& job, const Network& network) {
    json s{{"layers", job.model.integer("layers")},
           {"branches", network.sites() > 0},
           {"parameters_equivariant", network.parameters().count(ParameterKind::equivariant)},
           {"parameters_free", network.parameters().count(ParameterKind::free)}};
    if (job.model.name == "segnn") {
        s["hidden_irreps"] = symmetry::Irreps::parse(job.model.text("hidden")).to_string();
        s["attribute_irreps"] =
            symmetry::Irreps::spherical(static_cast<int>(job.model.integer("lmax_attr"))).to_string();
        s["harmonics"] = job.model.text("harmonics");
        s["norm"] = job.model.text("norm");
        s["pool"] = network.target_extent().axis == Axis::graph ? "mean" : "none";
    } else {
        // Every other model: its keys as the job has them.
        for (const auto& [name, value] : job.model.values()) {
            if (name != "name") {
                std::visit([&s, &key = name](const auto& v) { s[key] = v; }, value);
            }
        }
    }
    return s;
}

void write_weights(const std::string& path, const Job& job, Index step, const Network& network,
                   const Network& whole, const NetworkNumbers& numbers) {
    const bool single = is_single(job.train.precision);
    hdf5::Writer file(path);
    const auto write = [&](const std::string& name, std::span<const double> values,
                           const std::vector<Index>& shape) {
        if (single) { // exact: they come from float32
            file.write(name, std::vector<float>(values.begin(), values.end()), shape);
        } else {
            file.write(name, values, shape);
        }
    };
    file.group("/weight");
    for (const Parameter& p : network.parameters().all()) {
        const int number = whole.parameters().find(p.name);
        check(number >= 0, "export: the network has no parameter {}", p.name);
        write(folder + p.name, whole.parameters().to_published<double>(number, numbers.trained), p.shape);
    }
    for (const StateBuffer& b : network.states().all()) {
        const auto from = std::ranges::find(whole.states().all(), b.name, &StateBuffer::name);
        check(from != whole.states().all().end(), "export: the network has no buffer {}", b.name);
        write(folder + b.name,
              std::span(numbers.state)
                  .subspan(static_cast<std::size_t>(from->offset), static_cast<std::size_t>(from->size)),
              b.shape);
    }
    if (network.sites() > 0) {
        write("/gamma", numbers.gates, {network.sites()});
        file.write("/site", network.site_names());
    }
    file.attribute("/", "kind", "weights");
    file.attribute("/", "model", weights_model(job, network));
    file.attribute("/", "settings", weights_settings(job, network).dump());
    file.attribute("/", "job", job.resolved());
    file.attribute("/", "job_hash", job.hash());
    file.attribute("/", "step", step);
    file.attribute("/", "precision", single ? "float32" : "float64");
    file.close();
}

NetworkNumbers read_weights(const std::string& path, const Job& job, const Network& network) {
    const CrashGuard guard(path); // one for all that the reader does: it changes the process's handlers
    const hdf5::Reader file(path);
    const std::string kind = file.has_attribute("/", "kind") ? file.text_attribute("/", "kind") : "none";
    check(kind == "weights" || kind == "model", ExitCode::data,
          "{}: attribute kind is {}, expected \"weights\" (of tether export) or \"model\" (a reference file)",
          path, kind);
    check(file.has("/weight"), ExitCode::data, "{}: no group /weight{}", path,
          file.has("/weight_formula") ? " (weights given by a formula cannot be imported)" : "");
    const std::string model = file.has_attribute("/", "model") ? file.text_attribute("/", "model") : "";
    check(model == job.model.name || model == job.model.name + " with sites", ExitCode::data,
          "{}: attribute model is \"{}\", expected \"{}\" as in the job", path, model, job.model.name);

    const bool gated = network.policy().gate == methods::Gate::trained;
    const bool has_gamma = file.has("/gamma") && network.sites() > 0;
    const std::vector<Expected> expected = expected_of(network, has_gamma && gated);
    std::vector<std::string> found = file.datasets("/weight");
    // Gates of a file whose network trained them, for a method that sets them itself.
    if (network.sites() > 0 && !gated) {
        for (const layers::SiteInfo& site : network.model().sites()) {
            std::erase(found, site.gate);
        }
    }
    check_names(file, job, expected, found);
    for (const Expected& e : expected) {
        if (const std::string name = folder + e.name; file.has(name)) {
            const std::vector<Index> shape = file.shape(name);
            check(shape == e.shape, ExitCode::data, "{}:{}: has shape [{}], expected [{}]", path, name,
                  fmt::join(shape, ", "), fmt::join(e.shape, ", "));
        }
    }
    check_settings(file, weights_settings(job, network));

    NetworkNumbers out;
    network.initialise<double>(static_cast<std::uint64_t>(job.seed), out.trained, out.state);
    for (std::size_t n = 0; n < network.parameters().all().size(); ++n) {
        const std::string name = folder + network.parameters().all()[n].name;
        if (file.has(name)) {
            network.parameters().from_published<double>(static_cast<int>(n), read_numbers(file, name),
                                                        out.trained);
        }
    }
    for (const StateBuffer& b : network.states().all()) {
        std::ranges::copy(read_numbers(file, folder + b.name), out.state.begin() + b.offset);
    }
    out.gates.assign(static_cast<std::size_t>(network.sites()), network.policy().initial_gamma);
    if (has_gamma) {
        const std::vector<double> gamma = read_numbers(file, "/gamma");
        check(static_cast<Index>(gamma.size()) == network.sites(), ExitCode::data,
              "{}:/gamma: {} gates, expected {}", path, gamma.size(), network.sites());
        for (Index s = 0; gated && s < network.sites(); ++s) {
            const auto at = static_cast<std::size_t>(s);
            if (network.gate_offset(s) >= 0) {
                out.trained[static_cast<std::size_t>(network.gate_offset(s))] = gamma[at];
            }
        }
    }
    for (Index s = 0; gated && s < network.sites(); ++s) {
        if (network.gate_offset(s) >= 0) {
            out.gates[static_cast<std::size_t>(s)] =
                out.trained[static_cast<std::size_t>(network.gate_offset(s))];
        }
    }
    return out;
}

} // namespace tether::run
