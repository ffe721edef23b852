// The motion file: layout in motion.hpp. The checksum is that of everything that samples are made of.
#include "tether/data/motion.hpp"

#include "tether/core/error.hpp"
#include "tether/core/hdf5.hpp"
#include "tether/core/sha256.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

namespace tether::data {
namespace {

constexpr std::array<const char*, 3> part_names{"train", "val", "test"};

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

std::string place(const std::string& path, const std::string& dataset) { return path + ":/" + dataset; }

std::string text(std::span<const Index> values) { return fmt::format("[{}]", fmt::join(values, ", ")); }

std::vector<float> narrowed(std::span<const double> values) {
    std::vector<float> out(values.size());
    std::ranges::transform(values, out.begin(), [](double v) { return static_cast<float>(v); });
    return out;
}

std::string checksum(const Motion& m) {
    Sha256 sum;
    const auto add = [&](const auto& values) { sum.add(values.data(), values.size() * sizeof(values[0])); };
    add(narrowed(m.position));
    add(m.trial_length);
    add(m.parent);
    for (const MotionSplit& part : m.split) {
        add(part.trial);
        for (const std::vector<Index>& starts : part.start_frame) {
            add(starts);
        }
    }
    return sum.hex();
}

void expect_shape(const hdf5::Reader& file, const std::string& name, const std::vector<Index>& expected) {
    const std::vector<Index> found = file.shape(name);
    check(found == expected, ExitCode::data, "{}: has shape {}; {} was expected", place(file.path(), name),
          text(found), text(expected));
}

void read_joints(const hdf5::Reader& file, Motion& m, Index joints) {
    expect_shape(file, "joint_name", {joints});
    expect_shape(file, "parent", {joints});
    m.joint_name = file.strings("joint_name");
    for (const Index p : file.integers("parent")) {
        const Index j = std::ssize(m.parent);
        // One root, first; every other joint hangs on an earlier one or a later one, but never on itself.
        check(j == 0 ? p == -1 : (p >= 0 && p < joints && p != j), ExitCode::data,
              "{}: element {} is {}; {} was expected", place(file.path(), "parent"), j, p,
              j == 0 ? std::string("-1 (the root)") : fmt::format("another joint of 0 to {}", joints - 1));
        m.parent.push_back(static_cast<std::int32_t>(p));
    }
    // From every joint the way leads to the root: joints seen on a way that does end there stay marked.
    std::vector<Index> seen(m.parent.size(), -1);
    for (Index j = 0; j < joints; ++j) {
        Index k = j;
        while (k >= 0 && seen[at(k)] < 0) {
            seen[at(k)] = j;
            k = m.parent[at(k)];
        }
        check(k < 0 || seen[at(k)] < j, ExitCode::data, "{}: joint {} hangs on itself, by way of its parents",
              place(file.path(), "parent"), k);
    }
}

void read_trials(const hdf5::Reader& file, Motion& m, Index frames) {
    m.trial_length = file.integers("trial_length");
    expect_shape(file, "trial_name", {std::ssize(m.trial_length)});
    m.trial_name = file.strings("trial_name");
    Index sum = 0;
    for (const Index length : m.trial_length) {
        check(length > 0 && length <= frames, ExitCode::data, "{}: {}; 1 to {} frames were expected",
              place(file.path(), "trial_length"), length, frames);
        sum += length;
    }
    check(sum == frames, ExitCode::data, "{}: {} frames in all; /xyz has {}",
          place(file.path(), "trial_length"), sum, frames);
}

MotionSplit read_part(const hdf5::Reader& file, const Motion& m, const std::string& name) {
    MotionSplit part;
    part.trial = file.integers(name + "/trial");
    const std::vector<Index> shape = file.shape(name + "/start_frame");
    check(shape.size() == 2 && shape[0] == std::ssize(part.trial) && shape[1] > 0, ExitCode::data,
          "{}: has shape {}; [{}, starts] was expected", place(file.path(), name + "/start_frame"),
          text(shape), part.trial.size());
    const std::vector<Index> starts = file.integers(name + "/start_frame");
    for (std::size_t k = 0; k < part.trial.size(); ++k) {
        const Index trial = part.trial[k];
        check(trial >= 0 && trial < std::ssize(m.trial_length), ExitCode::data,
              "{}: element {} is {}; a trial of 0 to {} was expected", place(file.path(), name + "/trial"), k,
              trial, std::ssize(m.trial_length) - 1);
        const Index length = m.trial_length[at(trial)];
        auto& own = part.start_frame.emplace_back(starts.begin() + static_cast<Index>(k) * shape[1],
                                                  starts.begin() + static_cast<Index>(k + 1) * shape[1]);
        for (std::size_t i = 0; i < own.size(); ++i) {
            check(own[i] >= 0 && own[i] < length, ExitCode::data,
                  "{}: element [{}, {}] is {}; a frame of trial '{}' was expected, 0 to {}",
                  place(file.path(), name + "/start_frame"), k, i, own[i], m.trial_name[at(trial)],
                  length - 1);
        }
    }
    return part;
}

std::string attribute(const hdf5::Reader& file, const char* object, const char* name) {
    return file.has_attribute(object, name) ? file.text_attribute(object, name) : std::string{};
}

} // namespace

Index Motion::first_frame(Index trial) const {
    return std::accumulate(trial_length.begin(), trial_length.begin() + trial, Index{0});
}

Motion read_motion(const std::string& path) {
    const hdf5::Reader file(path);
    const std::vector<Index> shape = file.shape("xyz");
    check(shape.size() == 3 && shape[2] == 3 && shape[0] > 0 && shape[1] > 0, ExitCode::data,
          "{}: has shape {}; [frames, joints, 3] was expected", place(path, "xyz"), text(shape));
    Motion m;
    read_joints(file, m, shape[1]);
    read_trials(file, m, shape[0]);
    m.published_split = file.has("published_split");
    const std::string group = m.published_split ? "published_split" : "split";
    check(file.has(group), ExitCode::data, "{}: has neither /published_split nor /split", path);
    for (std::size_t s = 0; s < part_names.size(); ++s) {
        m.split[s] = read_part(file, m, group + "/" + part_names[s]);
    }
    m.position = file.doubles("xyz");
    const auto bad = std::ranges::find_if_not(m.position, [](double v) { return std::isfinite(v); });
    if (bad != m.position.end()) {
        const Index i = bad - m.position.begin();
        fail(ExitCode::data, "{}: element [{}, {}, {}] is {}; finite numbers were expected",
             place(path, "xyz"), i / (3 * shape[1]), i / 3 % shape[1], i % 3, *bad);
    }
    m.units = attribute(file, "xyz", "units");
    m.source = attribute(file, "/", "source");
    m.licence = attribute(file, "/", "licence");
    m.credit = attribute(file, "/", "credit");
    if (file.has_attribute("xyz", "frame_rate_hz")) {
        m.frame_rate = file.number_attribute("xyz", "frame_rate_hz");
    }
    if (file.has_attribute("/", "seed")) {
        m.seed = file.integer_attribute("/", "seed");
    }
    if (const std::string expected = attribute(file, "/", "sha256"); !expected.empty()) {
        const std::string found = checksum(m);
        check(found == expected, ExitCode::data,
              "{}: content has SHA-256 {}, attribute sha256 says {} (damaged?)", path, found, expected);
    }
    return m;
}

std::string write_motion(const std::string& path, const Motion& m) {
    hdf5::Writer file(path);
    const Index frames = m.first_frame(std::ssize(m.trial_length));
    const auto write = [&](const std::string& name, const auto& values, std::vector<Index> shape,
                           const char* units, const char* long_name) {
        file.write(name, std::span(values), std::move(shape));
        file.attribute(name, "units", units);
        file.attribute(name, "long_name", long_name);
    };
    write("xyz", narrowed(m.position), {frames, m.joints(), 3}, m.units.c_str(),
          "position [frame, joint, xyz]");
    file.attribute("xyz", "axes", "frame, joint, xyz; y is up");
    file.attribute("xyz", "frame_rate_hz", m.frame_rate);
    file.write("joint_name", std::span<const std::string>(m.joint_name));
    file.write("trial_name", std::span<const std::string>(m.trial_name));
    write("trial_length", m.trial_length, {std::ssize(m.trial_length)}, "1", "frames of each trial");
    write("parent", m.parent, {m.joints()}, "1", "joint a joint hangs on; -1: the root");
    std::vector<std::int32_t> edge;
    for (std::size_t j = 0; j < m.parent.size(); ++j) {
        if (m.parent[j] >= 0) {
            edge.push_back(static_cast<std::int32_t>(j));
            edge.push_back(m.parent[j]);
        }
    }
    write("edge", edge, {std::ssize(edge) / 2, 2}, "1", "bones: joint and the joint it hangs on");
    for (std::size_t s = 0; s < part_names.size(); ++s) {
        const std::string name =
            std::string(m.published_split ? "published_split/" : "split/") + part_names[s];
        const MotionSplit& part = m.split[s];
        std::vector<Index> starts;
        for (const std::vector<Index>& own : part.start_frame) {
            starts.insert(starts.end(), own.begin(), own.end());
        }
        const Index trials = std::ssize(part.trial);
        write(name + "/trial", part.trial, {trials}, "1", "numbers of the trials");
        write(name + "/start_frame", starts, {trials, trials == 0 ? 0 : std::ssize(starts) / trials}, "1",
              "first frame of each sample [trial, sample]");
    }
    std::string sum = checksum(m);
    file.attribute("/", "kind", "motion");
    file.attribute("/", "schema_version", Index{1});
    file.attribute("/", "source", m.source);
    file.attribute("/", "licence", m.licence);
    file.attribute("/", "credit", m.credit);
    file.attribute("/", "seed", static_cast<Index>(m.seed));
    file.attribute("/", "sha256", sum);
    file.close();
    return sum;
}

} // namespace tether::data
