#include "tether/data/mocap.hpp"

#include "tether/core/error.hpp"
#include "tether/data/motion.hpp"

#include <algorithm>

namespace tether::data {
namespace {

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

constexpr double height_unit = 10;

// Directed pairs of joints at most two bones apart, with 1 or 2.
struct Pair {
    std::int32_t from, to;
    double kind;
};

std::vector<Pair> near_pairs(const Motion& motion) {
    const auto joints = static_cast<std::int32_t>(motion.joints());
    const auto parent = [&](std::int32_t j) { return motion.parent[static_cast<std::size_t>(j)]; };
    std::vector<Pair> pairs;
    for (std::int32_t a = 0; a < joints; ++a) {
        for (std::int32_t b = 0; b < joints; ++b) {
            if (a == b) {
                continue;
            }
            const std::int32_t over_a = parent(a);
            const std::int32_t over_b = parent(b);
            if (over_a == b || over_b == a) {
                pairs.push_back({a, b, 1});
            } else if ((over_a >= 0 && (over_a == over_b || parent(over_a) == b)) ||
                       (over_b >= 0 && parent(over_b) == a)) {
                pairs.push_back({a, b, 2});
            }
        }
    }
    return pairs;
}

struct Fields {
    Field position{"position", Axis::node, 3, "", {}}, velocity{"velocity", Axis::node, 3, "", {}};
    Field height{"height", Axis::node, 1, "", {}}, kind{"kind", Axis::edge, 1, "1", {}};
    Field later{"position_later", Axis::node, 3, "", {}}, target{"target", Axis::node, 3, "", {}};
};

void add_sample(GraphSet& set, const Motion& m, const std::vector<Pair>& pairs, Index first, Index start,
                const MocapOptions& options, Fields& f) {
    const auto coordinate = [&](Index frame, Index joint, Index axis) {
        return m.position[at(((first + frame) * m.joints() + joint) * 3 + axis)];
    };
    set.add_graph(m.joints());
    for (const Pair& pair : pairs) {
        set.add_edge(pair.from, pair.to);
        f.kind.values.push_back(pair.kind);
    }
    for (Index j = 0; j < m.joints(); ++j) {
        for (Index a = 0; a < 3; ++a) {
            const double x = coordinate(start, j, a);
            f.position.values.push_back(x);
            f.velocity.values.push_back(coordinate(start + 1, j, a) - x);
            f.target.values.push_back(coordinate(start + options.horizon, j, a));
        }
        f.height.values.push_back(coordinate(start, j, 1) / height_unit);
        for (Index t = start + options.horizon - options.times + 1; t <= start + options.horizon; ++t) {
            for (Index a = 0; a < 3; ++a) {
                f.later.values.push_back(coordinate(t, j, a));
            }
        }
    }
}

// Starts that are used of every trial of a part.
Index starts_of(const MotionSplit& part, Index wanted, const char* name, const std::string& path) {
    if (part.trial.empty()) {
        return 0;
    }
    const auto trials = std::ssize(part.trial);
    const auto offered = std::ssize(part.start_frame[0]);
    check(wanted <= trials * offered, ExitCode::data, "{}: holds {} {} samples; {} were asked for", path,
          trials * offered, name, wanted);
    check(wanted == 0 || wanted >= trials, "{}: {} {} samples of {} trials; at least one of each is needed",
          path, wanted, name, trials);
    return wanted == 0 ? offered : wanted / trials;
}

} // namespace

GraphSet open_mocap(const std::string& path, const MocapOptions& options) {
    check(options.horizon >= 1 && options.times >= 1 && options.times <= options.horizon,
          "horizon {} with {} times; 1 <= times <= horizon was expected", options.horizon, options.times);
    check(options.train >= 0 && options.validation >= 0 && options.test >= 0,
          "numbers of samples must not be negative: train {}, validation {}, test {}", options.train,
          options.validation, options.test);
    const Motion m = read_motion(path);
    const std::vector<Pair> pairs = near_pairs(m);
    GraphSet set;
    set.name = "mocap";
    set.path = path;
    set.source = m.source.empty() ? m.credit : m.source;
    set.licence = m.licence;
    set.seed = m.seed;
    set.group = {symmetry::GroupKind::o2, {0, 1, 0}};
    Fields f;
    f.later.width = 3 * options.times;
    const std::array<Index, 3> wanted{options.train, options.validation, options.test};
    for (std::size_t s = 0; s < wanted.size(); ++s) {
        const MotionSplit& part = m.split[s];
        const Index starts = starts_of(part, wanted[s], split_name(static_cast<Split>(s)), path);
        for (std::size_t k = 0; k < part.trial.size(); ++k) {
            const Index trial = part.trial[k];
            const Index usable = m.trial_length[at(trial)] - 1; // frames with a velocity
            for (Index i = 0; i < starts; ++i) {
                const Index start = part.start_frame[k][at(i)];
                check(start + options.horizon < usable, ExitCode::data,
                      "{}: trial '{}' has {} frames with a velocity; start frame {} with a horizon of {} "
                      "needs {}",
                      path, m.trial_name[at(trial)], usable, start, options.horizon,
                      start + options.horizon + 1);
                set.split[s].push_back(set.graphs());
                add_sample(set, m, pairs, m.first_frame(trial), start, options, f);
            }
        }
    }
    for (Field* field : {&f.position, &f.velocity, &f.target, &f.later}) {
        field->units = m.units;
    }
    f.height.units = m.units.empty() ? "" : "10 " + m.units;
    f.height.over_batch_maximum = true;
    set.fields = {std::move(f.position), std::move(f.velocity), std::move(f.height),
                  std::move(f.kind),     std::move(f.later),    std::move(f.target)};
    set.finish();
    return set;
}

} // namespace tether::data
