// See nbody.hpp.
#include "tether/data/nbody.hpp"

#include "tether/core/error.hpp"
#include "tether/data/trajectories.hpp"

#include <algorithm>
#include <utility>

namespace tether::data {
namespace {

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

// Column `frame` of [simulations, frames, values].
std::vector<double> frame_of(const std::vector<double>& all, std::size_t frames, std::size_t frame,
                             std::size_t values) {
    std::vector<double> out;
    out.reserve(all.size() / frames);
    for (std::size_t row = frame * values; row < all.size(); row += frames * values) {
        out.insert(out.end(), all.begin() + static_cast<Index>(row),
                   all.begin() + static_cast<Index>(row + values));
    }
    return out;
}

} // namespace

void connect_nearest(GraphSet& set, std::span<const double> position, Index neighbours) {
    const Index n = set.nodes(set.graphs() - 1);
    const Index count = std::min(neighbours, n - 1);
    std::vector<std::pair<double, std::int32_t>> near;
    for (Index i = 0; i < n; ++i) {
        near.clear();
        for (Index j = 0; j < n; ++j) {
            double distance = 0;
            for (Index a = 0; a < 3; ++a) {
                const double d = position[at(3 * i + a)] - position[at(3 * j + a)];
                distance += d * d;
            }
            if (j != i) {
                near.emplace_back(distance, static_cast<std::int32_t>(j));
            }
        }
        std::ranges::partial_sort(near, near.begin() + count);
        std::sort(near.begin(), near.begin() + count,
                  [](const auto& a, const auto& b) { return a.second < b.second; });
        for (Index k = 0; k < count; ++k) {
            set.add_edge(near[at(k)].second, static_cast<std::int32_t>(i));
        }
    }
}

GraphSet open_nbody(const std::string& path, const NBodyOptions& options) {
    check(options.train >= 0 && options.validation >= 0 && options.test >= 0 &&
              options.out_of_distribution >= 0,
          "numbers of samples must not be negative: train {}, validation {}, test {}, out of distribution {}",
          options.train, options.validation, options.test, options.out_of_distribution);
    check(options.frame_in >= 0 && options.frame_out > options.frame_in,
          "frame_out ({}) must come after frame_in ({})", options.frame_out, options.frame_in);
    const TrajectorySelection selection{
        {options.frame_in, options.frame_out},
        {options.train, options.validation, options.test, options.out_of_distribution}};
    Trajectories t = read_trajectories(path, selection);
    const bool gravity = t.system == "gravity";
    const bool planets = t.system == "gravity4";
    check(gravity || planets || t.system == "charged", ExitCode::data,
          "{}: attribute system is '{}'; 'charged', 'gravity' or 'gravity4' was expected", path, t.system);
    check(gravity || !t.charge.empty(), ExitCode::data, "{}:/charge: no such dataset; a {} needs it", path,
          planets ? "system of masses" : "charged system");
    check(!gravity || options.neighbours > 0, "neighbours is {}; at least 1 was expected",
          options.neighbours);

    GraphSet set;
    set.name = gravity ? "gravity" : (planets ? "gravity4" : "nbody");
    set.path = path;
    set.source = t.source;
    set.licence = t.licence;
    set.seed = t.seed;
    const std::size_t values = at(t.bodies) * 3;
    std::vector<double> position = frame_of(t.position, 2, 0, values);
    for (Index i = 0; i < t.simulations; ++i) {
        set.split[at(t.split[at(i)])].push_back(i);
        set.add_graph(t.bodies);
        if (gravity) {
            connect_nearest(set, std::span<const double>(position).subspan(at(i) * values, values),
                            options.neighbours);
        } else {
            set.connect_all();
        }
    }
    if (t.charge.empty()) {
        t.charge.assign(at(t.simulations * t.bodies), 1.0);
    }
    set.fields = {{"position", Axis::node, 3, "1", std::move(position)},
                  {"velocity", Axis::node, 3, "1", frame_of(t.velocity, 2, 0, values)},
                  {"charge", Axis::node, 1, "1", std::move(t.charge)},
                  {"target", Axis::node, 3, "1", frame_of(t.position, 2, 1, values)}};
    set.finish();
    return set;
}

} // namespace tether::data
