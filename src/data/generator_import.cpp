// See generator_import.hpp.
#include "tether/data/generator_import.hpp"

#include "tether/core/error.hpp"
#include "tether/core/text.hpp"
#include "tether/data/npy.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <numeric>

namespace tether::data {
namespace {
namespace fs = std::filesystem;

constexpr std::array<const char*, 3> parts{"train", "valid", "test"};

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

std::string shape_text(const std::vector<Index>& shape) {
    return fmt::format("({})", fmt::join(shape, ", "));
}

// The suffixes of loc_train<suffix>.npy in the folder, with their leading underscore.
std::string find_suffix(const GeneratorFiles& files) {
    const std::string start = "loc_train";
    check(fs::is_directory(files.folder), ExitCode::data, "{}: no such folder", files.folder);
    std::vector<std::string> found;
    for (const fs::directory_entry& entry : fs::directory_iterator(files.folder)) {
        const std::string name = entry.path().stem().string();
        if (entry.path().extension() == ".npy" && name.starts_with(start)) {
            found.push_back(name.substr(start.size()));
        }
    }
    std::ranges::sort(found);
    check(!found.empty(), ExitCode::data, "{}: holds no loc_train*.npy, as the N-body generators write it",
          files.folder);
    if (files.suffix.empty()) {
        check(found.size() == 1, "{}: holds several data sets; choose one by its suffix: {}", files.folder,
              join(found, ", "));
        return found[0];
    }
    for (const std::string& suffix : found) {
        if (suffix == files.suffix || suffix == "_" + files.suffix) {
            return suffix;
        }
    }
    fail(ExitCode::usage, "{}: no loc_train_{}.npy{}", files.folder, files.suffix, hint(files.suffix, found));
}

// [simulations, frames, bodies, 3] of an array in either order.
struct Coordinates {
    Index simulations = 0, frames = 0, bodies = 0;
    bool components_first = false;
};

Coordinates detect(const NpyArray& array, const std::string& path) {
    const std::vector<Index>& s = array.shape;
    check(
        s.size() == 4 && std::ranges::all_of(s, [](Index n) { return n > 0; }) && (s[2] == 3 || s[3] == 3),
        ExitCode::data,
        "{}: has shape {}; [simulations, frames, 3, bodies] or [simulations, frames, bodies, 3] was expected",
        path, shape_text(s));
    check(s[2] != s[3], ExitCode::data,
          "{}: has shape {}; with 3 bodies, bodies and components cannot be told apart", path, shape_text(s));
    const bool components_first = s[2] == 3;
    return {s[0], s[1], components_first ? s[3] : s[2], components_first};
}

void append(const NpyArray& array, const Coordinates& c, const std::vector<Index>& frames,
            std::vector<double>& out) {
    for (Index i = 0; i < c.simulations; ++i) {
        for (const Index frame : frames) {
            const double* from = array.values.data() + (i * c.frames + frame) * c.bodies * 3;
            for (Index b = 0; b < c.bodies; ++b) {
                for (Index a = 0; a < 3; ++a) {
                    out.push_back(c.components_first ? from[a * c.bodies + b] : from[b * 3 + a]);
                }
            }
        }
    }
}

} // namespace

Trajectories import_generator_files(const GeneratorFiles& files) {
    const std::string suffix = find_suffix(files);
    Trajectories out;
    out.system = suffix.find("gravity") != std::string::npos ? "gravity" : "charged";
    out.frames = files.frames;
    const auto read = [&](const char* quantity, const char* part, std::string& path) {
        path = (fs::path(files.folder) / (std::string(quantity) + "_" + part + suffix + ".npy")).string();
        if (files.reading) {
            files.reading(path);
        }
        return read_npy(path);
    };
    Index file_frames = 0;
    for (std::size_t p = 0; p < parts.size(); ++p) {
        std::string path;
        const NpyArray loc = read("loc", parts[p], path);
        const Coordinates c = detect(loc, path);
        if (p == 0) {
            out.bodies = c.bodies;
            file_frames = c.frames;
            if (out.frames.empty()) {
                out.frames.resize(at(c.frames));
                std::iota(out.frames.begin(), out.frames.end(), Index{0});
            }
        }
        check(c.bodies == out.bodies, ExitCode::data, "{}: has {} bodies; {} as in train were expected", path,
              c.bodies, out.bodies);
        check(files.frames.empty() ? c.frames == file_frames : c.frames > files.frames.back(), ExitCode::data,
              "{}: has {} frames; {} were expected", path, c.frames,
              files.frames.empty() ? fmt::format("{}", file_frames)
                                   : fmt::format("more than {}", files.frames.back()));
        append(loc, c, out.frames, out.position);
        const NpyArray vel = read("vel", parts[p], path);
        check(vel.shape == loc.shape, ExitCode::data, "{}: has shape {}; {} as that of loc was expected",
              path, shape_text(vel.shape), shape_text(loc.shape));
        append(vel, c, out.frames, out.velocity);
        if (out.system == "charged") {
            const NpyArray charge = read("charges", parts[p], path);
            const std::vector<Index> flat{c.simulations, c.bodies};
            const std::vector<Index> column{c.simulations, c.bodies, 1};
            check(charge.shape == flat || charge.shape == column, ExitCode::data,
                  "{}: has shape {}; {} was expected", path, shape_text(charge.shape), shape_text(column));
            out.charge.insert(out.charge.end(), charge.values.begin(), charge.values.end());
        }
        out.split.insert(out.split.end(), at(c.simulations), static_cast<std::int32_t>(p));
        out.simulations += c.simulations;
    }
    out.source = "imported from loc/vel/charges" + suffix + ".npy";
    out.licence = "that of the generator's output";
    out.description = "output of an N-body generator; frames numbered from 0 as in its files";
    return out;
}

} // namespace tether::data
