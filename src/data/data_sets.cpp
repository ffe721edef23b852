// The table of data sets.
#include "tether/data/data_sets.hpp"

#include "tether/core/error.hpp"
#include "tether/core/text.hpp"
#include "tether/data/mocap.hpp"
#include "tether/data/nbody.hpp"

namespace tether::data {
namespace {

Key count_key(const char* name, Index standard, Index low, const char* meaning) {
    Key key;
    key.name = name;
    key.kind = Kind::integer;
    key.standard = standard;
    key.low = static_cast<double>(low);
    key.high = 1e9;
    key.meaning = meaning;
    return key;
}

Choice nbody_choice(const char* word, const char* meaning, bool neighbours) {
    Choice choice{"data.set", word, meaning};
    choice.keys = {count_key("frame_in", 30, 0, "frame the network sees"),
                   count_key("frame_out", 40, 1, "frame it has to predict")};
    if (neighbours) {
        choice.keys.push_back(count_key("neighbours", 6, 1, "nearest bodies that send messages to a body"));
    }
    return choice;
}

void take(const Settings& settings, const char* name, Index& value) {
    if (settings.has(name)) {
        value = settings.integer(name);
    }
}

Choice planets_choice() {
    return {
        .chooser = "data.set",
        .word = "gravity4",
        .meaning = "a star and three planets: position after 100 steps",
        .keys = {count_key("out_of_distribution", 0, 0, "systems of the part that is turned far, 0: all")}};
}

GraphSet open_particles(const std::string& path, const Settings& settings, const std::string& expected) {
    NBodyOptions options;
    take(settings, "train", options.train);
    take(settings, "validation", options.validation);
    take(settings, "test", options.test);
    take(settings, "frame_in", options.frame_in);
    take(settings, "frame_out", options.frame_out);
    take(settings, "neighbours", options.neighbours);
    take(settings, "out_of_distribution", options.out_of_distribution);
    if (expected == "gravity4") {
        options.frame_in = 0;
        options.frame_out = 1;
    }
    GraphSet set = open_nbody(path, options);
    check(set.name == expected, ExitCode::data, "{}: holds data of set '{}'; '{}' was expected", path,
          set.name, expected);
    return set;
}

Choice mocap_choice() {
    return {
        .chooser = "data.set",
        .word = "mocap",
        .meaning = "motion capture: positions of the joints some frames ahead",
        .keys = {count_key("horizon", 30, 1, "frames ahead"),
                 count_key("times", 5, 1, "output times that targets have: the last frames of the horizon")}};
}

GraphSet open_motion(const std::string& path, const Settings& settings) {
    MocapOptions options;
    take(settings, "train", options.train);
    take(settings, "validation", options.validation);
    take(settings, "test", options.test);
    take(settings, "horizon", options.horizon);
    take(settings, "times", options.times);
    return open_mocap(path, options);
}

} // namespace

const std::vector<DataSet>& data_sets() {
    static const std::vector<std::string> particle_fields{"position", "velocity", "charge", "target"};
    static const std::vector<DataSet> table{
        {nbody_choice("nbody", "charged 5-body system: position at frame_out from the state at frame_in",
                      false),
         [](const std::string& path, const Settings& s) { return open_particles(path, s, "nbody"); },
         particle_fields},
        {nbody_choice("gravity", "100 gravitating bodies: position at frame_out from the state at frame_in",
                      true),
         [](const std::string& path, const Settings& s) { return open_particles(path, s, "gravity"); },
         particle_fields},
        {planets_choice(),
         [](const std::string& path, const Settings& s) { return open_particles(path, s, "gravity4"); },
         particle_fields},
        {mocap_choice(), open_motion, {"position", "velocity", "height", "kind", "position_later", "target"}},
    };
    return table;
}

const DataSet& find_data_set(const std::string& word) {
    std::vector<std::string> known;
    for (const DataSet& set : data_sets()) {
        if (set.choice.word == word) {
            return set;
        }
        known.push_back(set.choice.word);
    }
    fail(ExitCode::usage, "no data set '{}'{}", word, hint(word, known));
}

GraphSet open_data_set(const std::string& name, const std::string& path, const Settings& settings) {
    return find_data_set(name).open(path, settings);
}

} // namespace tether::data
