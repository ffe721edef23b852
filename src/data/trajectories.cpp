// The trajectory file: layout in trajectories.hpp. The checksum is the SHA-256 of the concatenated
// hexadecimal SHA-256 of charge, frames, split (as int64) and loc, vel (as float32), row-major,
// little-endian, so that it can be computed while the large ones pass by in blocks.
#include "tether/data/trajectories.hpp"

#include "tether/core/error.hpp"
#include "tether/core/hdf5.hpp"
#include "tether/core/sha256.hpp"
#include "tether/data/graph_set.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

namespace tether::data {
namespace {

constexpr Index block_values = Index{1} << 21U; // numbers read at a time: 16 MB

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

template <class T>
std::string sum_of(std::span<const T> values) {
    Sha256 sum;
    sum.add(values.data(), values.size_bytes());
    return sum.hex();
}

std::vector<float> narrowed(std::span<const double> values) {
    std::vector<float> out(values.size());
    std::ranges::transform(values, out.begin(), [](double v) { return static_cast<float>(v); });
    return out;
}

std::string small_parts(std::span<const float> charge, std::span<const Index> frames,
                        std::span<const Index> split) {
    return sum_of(charge) + sum_of(frames) + sum_of(split);
}

std::string combined(const std::string& small, const std::string& loc, const std::string& vel) {
    Sha256 sum;
    sum.add(small + loc + vel);
    return sum.hex();
}

std::string place(const std::string& path, const std::string& dataset) { return path + ":/" + dataset; }

std::string text(std::span<const Index> values) { return fmt::format("[{}]", fmt::join(values, ", ")); }

void check_finite(const std::string& where, std::span<const double> values, std::span<const Index> shape,
                  Index first_row) {
    const auto bad = std::ranges::find_if_not(values, [](double v) { return std::isfinite(v); });
    if (bad == values.end()) {
        return;
    }
    std::vector<Index> position(shape.size());
    Index rest = bad - values.begin();
    for (std::size_t d = shape.size(); d-- > 1;) {
        position[d] = rest % shape[d];
        rest /= shape[d];
    }
    position[0] = first_row + rest;
    fail(ExitCode::data, "{}: element {} is {}; finite numbers were expected", where, text(position), *bad);
}

// What is known of a file before the large datasets are read.
struct Layout {
    Index simulations = 0, frames = 0, bodies = 0;
    std::vector<Index> frame, split;
    std::vector<double> charge;
    bool has_charge = false;
};

std::vector<Index> shape_of(const hdf5::Reader& file, const std::string& name) {
    std::vector<Index> shape = file.held_shape(name);
    check(shape.size() == 4 && shape[3] == 3 && std::ranges::all_of(shape, [](Index n) { return n > 0; }),
          ExitCode::data, "{}: has shape {}; [simulations, frames, bodies, 3] was expected",
          place(file.path(), name), text(shape));
    return shape;
}

Layout read_layout(const hdf5::Reader& file) {
    Layout out;
    const std::vector<Index> shape = shape_of(file, "loc");
    const std::vector<Index> velocity_shape = shape_of(file, "vel");
    check(shape == velocity_shape, ExitCode::data, "{}: has shape {}, /loc has {}; the same was expected",
          place(file.path(), "vel"), text(velocity_shape), text(shape));
    out.simulations = shape[0];
    out.frames = shape[1];
    out.bodies = shape[2];
    const auto small = [&](const char* name, std::vector<Index> expected) {
        const std::vector<Index> found = file.shape(name);
        check(found == expected, ExitCode::data, "{}: has shape {}; {} was expected",
              place(file.path(), name), text(found), text(expected));
    };
    if (file.has("frames")) {
        small("frames", {out.frames});
        out.frame = file.integers("frames");
        check(std::ranges::is_sorted(out.frame, std::ranges::less_equal{}), ExitCode::data,
              "{}: {}; ascending frame numbers were expected", place(file.path(), "frames"), text(out.frame));
    } else {
        out.frame.resize(at(out.frames));
        std::iota(out.frame.begin(), out.frame.end(), Index{0});
    }
    if (file.has("split")) {
        small("split", {out.simulations});
        out.split = file.integers("split");
        for (std::size_t i = 0; i < out.split.size(); ++i) {
            check(out.split[i] >= 0 && out.split[i] < split_count, ExitCode::data,
                  "{}: element {} is {}; 0 (train), 1 (validation), 2 (test) or 3 (out of distribution) was "
                  "expected",
                  place(file.path(), "split"), i, out.split[i]);
        }
    } else {
        const std::vector<std::int32_t> split = standard_split(out.simulations);
        out.split.assign(split.begin(), split.end());
    }
    out.has_charge = file.has("charge");
    if (out.has_charge) {
        small("charge", {out.simulations, out.bodies});
        out.charge = file.doubles("charge");
        const std::vector<Index> charge_shape{out.simulations, out.bodies};
        check_finite(place(file.path(), "charge"), out.charge, charge_shape, 0);
    }
    return out;
}

// Numbers of the selected simulations, ascending.
std::vector<Index> select_simulations(const Layout& layout, const std::string& path,
                                      const TrajectorySelection& selection) {
    std::vector<Index> chosen;
    Index taken[split_count] = {};
    for (Index i = 0; i < layout.simulations; ++i) {
        const Index s = layout.split[at(i)];
        if (selection.count[s] == 0 || taken[s] < selection.count[s]) {
            chosen.push_back(i);
            ++taken[s];
        }
    }
    for (int s = 0; s < split_count; ++s) {
        check(taken[s] >= selection.count[s], ExitCode::data,
              "{}: holds {} {} simulations; {} were asked for", path, taken[s],
              split_name(static_cast<Split>(s)), selection.count[s]);
    }
    return chosen;
}

std::vector<Index> select_frames(const Layout& layout, const std::string& path,
                                 std::span<const Index> wanted) {
    std::vector<Index> columns;
    for (const Index frame : wanted) {
        const auto found = std::ranges::find(layout.frame, frame);
        check(found != layout.frame.end(), ExitCode::data, "{}: frame {} is not in the file; it holds {}",
              place(path, "loc"), frame,
              layout.frame.size() > 12 ? fmt::format("{}..{}", layout.frame.front(), layout.frame.back())
                                       : text(layout.frame));
        columns.push_back(found - layout.frame.begin());
    }
    return columns;
}

// Passes over a whole dataset in blocks of simulations; returns its checksum.
std::string read_selected(const hdf5::Reader& file, const std::string& name, const Layout& layout,
                          std::span<const Index> simulations, std::span<const Index> columns,
                          std::vector<double>& out) {
    const Index frame_values = layout.bodies * 3;
    const Index row_values = layout.frames * frame_values;
    out.reserve(simulations.size() * columns.size() * at(frame_values));
    Sha256 sum;
    std::size_t next = 0;
    const Index step = std::max<Index>(1, block_values / row_values);
    const std::vector<Index> shape{layout.simulations, layout.frames, layout.bodies, 3};
    for (Index first = 0; first < layout.simulations; first += step) {
        const Index count = std::min(step, layout.simulations - first);
        const std::vector<double> block = file.double_rows(name, first, count);
        const std::vector<float> stored = narrowed(block);
        sum.add(stored.data(), stored.size() * sizeof(float));
        check_finite(place(file.path(), name), block, shape, first);
        for (; next < simulations.size() && simulations[next] < first + count; ++next) {
            for (const Index column : columns) {
                const double* from =
                    block.data() + (simulations[next] - first) * row_values + column * frame_values;
                out.insert(out.end(), from, from + frame_values);
            }
        }
    }
    return sum.hex();
}

std::string attribute(const hdf5::Reader& file, const char* name) {
    return file.has_attribute("/", name) ? file.text_attribute("/", name) : std::string{};
}

} // namespace

std::vector<std::int32_t> standard_split(Index simulations) {
    std::vector<std::int32_t> split(at(simulations), 2);
    const Index train = simulations * 5 / 7;
    std::fill_n(split.begin(), train, 0);
    std::fill_n(split.begin() + train, std::min(simulations / 7, simulations - train), 1);
    return split;
}

std::string write_trajectories(const std::string& path, const Trajectories& t) {
    const std::vector<Index> shape{t.simulations, static_cast<Index>(t.frames.size()), t.bodies, 3};
    check_finite(place(path, "loc"), t.position, shape, 0);
    check_finite(place(path, "vel"), t.velocity, shape, 0);
    const std::vector<float> loc = narrowed(t.position);
    const std::vector<float> vel = narrowed(t.velocity);
    const std::vector<float> charge = narrowed(t.charge);
    const std::vector<Index> split(t.split.begin(), t.split.end());
    std::string checksum =
        combined(small_parts(charge, t.frames, split), sum_of(std::span(loc)), sum_of(std::span(vel)));
    hdf5::Writer file(path);
    file.write("loc", loc, shape);
    file.write("vel", vel, shape);
    file.write("frames", std::span<const Index>(t.frames), {shape[1]});
    file.write("split", std::span<const std::int32_t>(t.split), {t.simulations});
    const auto describe = [&](const char* dataset, const char* units, const char* long_name) {
        file.attribute(dataset, "units", units);
        file.attribute(dataset, "long_name", long_name);
    };
    if (!t.charge.empty()) {
        file.write("charge", charge, {t.simulations, t.bodies});
        describe("charge", "1", "charge [simulation, body]");
    }
    describe("loc", "1", "position [simulation, frame, body, xyz], simulation units");
    describe("vel", "1", "velocity [simulation, frame, body, xyz], simulation units");
    describe("frames", "1", "frame number; 100 steps of 0.001 apart");
    describe("split", "1", "0 train, 1 validation, 2 test, 3 out of distribution");
    file.attribute("/", "kind", "trajectories");
    file.attribute("/", "schema_version", Index{1});
    file.attribute("/", "system", t.system);
    file.attribute("/", "description", t.description);
    file.attribute("/", "source", t.source);
    file.attribute("/", "licence", t.licence);
    file.attribute("/", "seed", static_cast<Index>(t.seed));
    file.attribute("/", "sha256", checksum);
    file.close();
    return checksum;
}

Trajectories read_trajectories(const std::string& path, const TrajectorySelection& selection) {
    const hdf5::Reader file(path);
    const Layout layout = read_layout(file);
    const std::vector<Index> simulations = select_simulations(layout, path, selection);
    const std::vector<Index> columns = select_frames(layout, path, selection.frames);
    Trajectories out;
    const std::string loc = read_selected(file, "loc", layout, simulations, columns, out.position);
    const std::string vel = read_selected(file, "vel", layout, simulations, columns, out.velocity);
    const std::string expected = attribute(file, "sha256");
    if (!expected.empty()) {
        const std::string found =
            combined(small_parts(narrowed(layout.charge), layout.frame, layout.split), loc, vel);
        check(found == expected, ExitCode::data,
              "{}: content has SHA-256 {}, attribute sha256 says {} (damaged?)", path, found, expected);
    }
    out.simulations = std::ssize(simulations);
    out.bodies = layout.bodies;
    out.frames = selection.frames;
    for (const Index i : simulations) {
        out.split.push_back(static_cast<std::int32_t>(layout.split[at(i)]));
        if (layout.has_charge) {
            const double* from = layout.charge.data() + i * layout.bodies;
            out.charge.insert(out.charge.end(), from, from + layout.bodies);
        }
    }
    const std::string system = attribute(file, "system");
    out.system = !system.empty() ? system : layout.has_charge ? "charged" : "gravity";
    out.source = attribute(file, "source");
    out.licence = attribute(file, "licence");
    out.description = attribute(file, "description");
    out.seed = file.has_attribute("/", "seed") ? file.integer_attribute("/", "seed") : -1;
    return out;
}

} // namespace tether::data
