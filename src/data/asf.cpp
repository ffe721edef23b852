// The skeleton: sections that begin with ':', bones between begin and end, parents in :hierarchy.
#include "src/data/text_lines.hpp"
#include "tether/core/error.hpp"
#include "tether/core/text.hpp"
#include "tether/data/skeleton.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <numbers>
#include <span>

namespace tether::data {
namespace {

std::string lower(std::string_view word) {
    std::string out(word);
    std::ranges::transform(out, out.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return out;
}

constexpr std::array<const char*, 6> channel_words{"rx", "ry", "rz", "tx", "ty", "tz"};

class AsfReader {
public:
    explicit AsfReader(const std::string& path) : lines_(path) {
        skeleton_.path = path;
        skeleton_.bones.push_back({.name = "root"});
    }

    Skeleton read() {
        while (lines_.next()) {
            const std::string section = lower(lines_.words()[0]);
            check(section[0] == ':', ExitCode::data,
                  "{}: '{}'; a section was expected, that is a word beginning with ':'", lines_.place(),
                  section);
            read_section(section.substr(1));
        }
        finish();
        return std::move(skeleton_);
    }

private:
    void read_section(const std::string& section) {
        if (section == "units") {
            read_units();
        } else if (section == "root") {
            read_root();
        } else if (section == "bonedata") {
            read_bones();
        } else if (section == "hierarchy") {
            read_hierarchy();
        } else if (section == "version" || section == "name" || section == "documentation" ||
                   section == "skin") {
            while (in_section()) {
            }
        } else {
            const std::vector<std::string> known{"version", "name",     "units",     "documentation",
                                                 "root",    "bonedata", "hierarchy", "skin"};
            fail(ExitCode::data, "{}: no section is called ':{}'{}", lines_.place(), section,
                 hint(section, known));
        }
        seen_[section] = true;
    }

    // The next line, unless another section begins.
    bool in_section() {
        if (!lines_.next()) {
            return false;
        }
        if (lines_.words()[0][0] == ':') {
            lines_.again();
            return false;
        }
        return true;
    }

    std::array<double, 3> vector(std::string_view meaning) {
        lines_.expect_words(4, meaning);
        return {lines_.number(1), lines_.number(2), lines_.number(3)};
    }

    // "XYZ": about x first.
    std::array<int, 3> axis_order(std::string_view word) {
        std::array<int, 3> order{};
        std::string sorted = lower(word);
        std::ranges::sort(sorted);
        check(sorted == "xyz", ExitCode::data,
              "{}: axis order '{}'; the letters X, Y, Z in some order were expected", lines_.place(), word);
        for (std::size_t i = 0; i < 3; ++i) {
            order[i] = std::tolower(static_cast<unsigned char>(word[i])) - 'x';
        }
        return order;
    }

    Channel channel(std::string_view word) {
        const auto found = std::ranges::find(channel_words, lower(word));
        check(found != channel_words.end(), ExitCode::data, "{}: channel '{}'; one of {} was expected",
              lines_.place(), word, fmt::join(channel_words, ", "));
        return static_cast<Channel>(found - channel_words.begin());
    }

    std::vector<Channel> channels(bool root) {
        std::vector<Channel> out;
        for (std::size_t i = 1; i < lines_.words().size(); ++i) {
            const Channel c = channel(lines_.words()[i]);
            check(root || c <= Channel::rz, ExitCode::data,
                  "{}: channel '{}'; a bone other than the root can turn only (rx, ry, rz)", lines_.place(),
                  lines_.words()[i]);
            check(std::ranges::find(out, c) == out.end(), ExitCode::data, "{}: channel '{}' appears twice",
                  lines_.place(), lines_.words()[i]);
            out.push_back(c);
        }
        return out;
    }

    void read_units() {
        while (in_section()) {
            const std::string key = lower(lines_.words()[0]);
            lines_.expect_words(2, "a unit and its value");
            if (key == "length") {
                const double length = lines_.number(1);
                check(length > 0, ExitCode::data, "{}: length {}; a positive number was expected",
                      lines_.place(), length);
                skeleton_.length_unit_cm = 2.54 / length;
            } else if (key == "angle") {
                const std::string word = lower(lines_.words()[1]);
                check(word == "deg" || word == "rad", ExitCode::data,
                      "{}: angle '{}'; deg or rad was expected", lines_.place(), word);
                radians_ = word == "rad";
            } else {
                check(key == "mass", ExitCode::data, "{}: unit of '{}'; mass, length or angle was expected",
                      lines_.place(), key);
            }
        }
    }

    void read_root() {
        Bone& root = skeleton_.bones[0];
        while (in_section()) {
            const std::string key = lower(lines_.words()[0]);
            if (key == "order") {
                root.channels = channels(true);
                check(!root.channels.empty(), ExitCode::data, "{}: the root has no channels", lines_.place());
            } else if (key == "axis") {
                lines_.expect_words(2, "an order such as XYZ");
                root.order = axis_order(lines_.words()[1]);
            } else if (key == "position") {
                root.offset = vector("three coordinates");
            } else if (key == "orientation") {
                root.axis = vector("three angles");
            } else {
                const std::vector<std::string> known{"order", "axis", "position", "orientation"};
                fail(ExitCode::data, "{}: the root has no key '{}'{}", lines_.place(), key, hint(key, known));
            }
        }
    }

    void read_bones() {
        while (in_section()) {
            check(lower(lines_.words()[0]) == "begin", ExitCode::data,
                  "{}: '{}'; 'begin' of a bone was expected", lines_.place(), lines_.words()[0]);
            read_bone();
        }
    }

    void read_bone() {
        const std::string begin = lines_.place();
        Bone bone;
        std::map<std::string, bool> given;
        for (;;) {
            check(in_section(), ExitCode::data, "{}: this bone has no 'end'", begin);
            const std::string key = lower(lines_.words()[0]);
            if (key == "end") {
                break;
            }
            if (key[0] == '(') {
                continue; // further limits
            }
            check(!given[key], ExitCode::data, "{}: '{}' is given twice", lines_.place(), key);
            given[key] = true;
            read_bone_key(bone, key);
        }
        for (const char* key : {"name", "direction", "length", "axis"}) {
            check(given[key], ExitCode::data, "{}: bone '{}' has no {}", begin, bone.name, key);
        }
        check(numbers_.emplace(bone.name, static_cast<std::int32_t>(skeleton_.bones.size())).second,
              ExitCode::data, "{}: there are two bones '{}'", begin, bone.name);
        skeleton_.bones.push_back(std::move(bone));
    }

    void read_bone_key(Bone& bone, const std::string& key) {
        if (key == "name") {
            lines_.expect_words(2, "a name");
            bone.name = lines_.words()[1];
        } else if (key == "direction") {
            bone.direction = vector("three components");
            const double length = std::hypot(bone.direction[0], bone.direction[1], bone.direction[2]);
            // Files carry six digits: they are used as they stand, as everybody else does.
            check(std::abs(length - 1) < 1e-3, ExitCode::data, "{}: direction of length {}; 1 was expected",
                  lines_.place(), length);
        } else if (key == "length") {
            lines_.expect_words(2, "a length");
            bone.length = lines_.number(1);
            check(bone.length >= 0, ExitCode::data, "{}: length {}; 0 or more was expected", lines_.place(),
                  bone.length);
        } else if (key == "axis") {
            lines_.expect_words(5, "three angles and their order");
            bone.axis = {lines_.number(1), lines_.number(2), lines_.number(3)};
            bone.order = axis_order(lines_.words()[4]);
        } else if (key == "dof") {
            bone.channels = channels(false);
        } else {
            const std::vector<std::string> known{"id",  "name",   "direction", "length", "axis",
                                                 "dof", "limits", "bodymass",  "cofmass"};
            check(key == "id" || key == "limits" || key == "bodymass" || key == "cofmass", ExitCode::data,
                  "{}: a bone has no key '{}'{}", lines_.place(), key, hint(key, known));
        }
    }

    std::int32_t number_of(std::string_view name) {
        if (name == "root") {
            return 0;
        }
        const auto found = numbers_.find(std::string(name));
        if (found == numbers_.end()) {
            std::vector<std::string> known{"root"};
            for (const auto& entry : numbers_) {
                known.push_back(entry.first);
            }
            fail(ExitCode::data, "{}: no bone is called '{}'{}", lines_.place(), name, hint(name, known));
        }
        return found->second;
    }

    void read_hierarchy() {
        while (in_section()) {
            const std::string first = lower(lines_.words()[0]);
            if (first == "begin" || first == "end") {
                continue;
            }
            const std::int32_t parent = number_of(lines_.words()[0]);
            for (std::size_t i = 1; i < lines_.words().size(); ++i) {
                const std::int32_t child = number_of(lines_.words()[i]);
                Bone& bone = skeleton_.bones[static_cast<std::size_t>(child)];
                check(child != 0, ExitCode::data, "{}: '{}' hangs on '{}', but it is the root",
                      lines_.place(), bone.name, lines_.words()[0]);
                if (bone.parent >= 0) {
                    fail(ExitCode::data, "{}: '{}' hangs on '{}' already", lines_.place(), bone.name,
                         skeleton_.bones[static_cast<std::size_t>(bone.parent)].name);
                }
                bone.parent = parent;
            }
        }
    }

    void finish() {
        for (const char* section : {"root", "bonedata", "hierarchy"}) {
            check(seen_[section], ExitCode::data, "{}: has no section ':{}'", skeleton_.path, section);
        }
        const Bone& root = skeleton_.bones[0];
        check(!root.channels.empty(), ExitCode::data, "{}: the root has no 'order' of channels",
              skeleton_.path);
        for (std::size_t b = 1; b < skeleton_.bones.size(); ++b) {
            check(skeleton_.bones[b].parent >= 0, ExitCode::data, "{}: bone '{}' is missing in :hierarchy",
                  skeleton_.path, skeleton_.bones[b].name);
        }
        // Parents before children; what hangs on itself is never reached.
        skeleton_.outwards = {0};
        for (std::size_t i = 0; i < skeleton_.outwards.size(); ++i) {
            for (std::size_t b = 1; b < skeleton_.bones.size(); ++b) {
                if (skeleton_.bones[b].parent == skeleton_.outwards[i]) {
                    skeleton_.outwards.push_back(static_cast<std::int32_t>(b));
                }
            }
        }
        check(skeleton_.outwards.size() == skeleton_.bones.size(), ExitCode::data,
              "{}: {} of {} bones do not hang on the root", skeleton_.path,
              skeleton_.bones.size() - skeleton_.outwards.size(), skeleton_.bones.size());
        if (radians_) {
            for (Bone& bone : skeleton_.bones) {
                for (double& angle : bone.axis) {
                    angle *= 180 / std::numbers::pi;
                }
            }
        }
    }

    TextLines lines_;
    Skeleton skeleton_;
    std::map<std::string, std::int32_t> numbers_;
    std::map<std::string, bool> seen_;
    bool radians_ = false;
};

} // namespace

Skeleton read_asf(const std::string& path) { return AsfReader(path).read(); }

} // namespace tether::data
