// The motion: frames of one line per bone, turned into positions while they are read.
#include "src/data/text_lines.hpp"
#include "tether/core/error.hpp"
#include "tether/core/log.hpp"
#include "tether/core/text.hpp"
#include "tether/data/skeleton.hpp"
#include "tether/symmetry/rotation.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <numbers>

namespace tether::data {
namespace {

using symmetry::Quaternion;
using Vector = symmetry::Vector3;

// The first of the order acts first.
Quaternion rotation(const Vector& degrees, const std::array<int, 3>& order) {
    Quaternion q;
    for (const int axis : order) {
        Vector unit{};
        unit[static_cast<std::size_t>(axis)] = 1;
        q = symmetry::about(unit, degrees[static_cast<std::size_t>(axis)] * std::numbers::pi / 180) * q;
    }
    return q;
}

Vector cross(const Vector& a, const Vector& b) {
    return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

Vector turned(const Quaternion& q, const Vector& x) {
    const Vector axis{q.x, q.y, q.z};
    const Vector once = cross(axis, x);
    const Vector twice = cross(axis, once);
    return {x[0] + 2 * (q.w * once[0] + twice[0]), x[1] + 2 * (q.w * once[1] + twice[1]),
            x[2] + 2 * (q.w * once[2] + twice[2])};
}

class AmcReader {
public:
    AmcReader(const std::string& path, const Skeleton& skeleton) : lines_(path), skeleton_(skeleton) {
        for (const Bone& bone : skeleton.bones) {
            numbers_[bone.name] = frames_.size();
            frames_.push_back(rotation(bone.axis, bone.order));
            names_.push_back(bone.name);
        }
        turns_.resize(frames_.size());
        given_.resize(frames_.size());
        global_.resize(frames_.size());
    }

    std::vector<double> read() {
        while (lines_.next()) {
            const std::string_view first = lines_.words()[0];
            if (first[0] == ':') {
                read_heading(first);
            } else if (lines_.words().size() == 1 && first[0] >= '0' && first[0] <= '9') {
                begin_frame(first);
            } else {
                read_bone();
            }
        }
        end_frame(true);
        check(count_ > 0, ExitCode::data, "{}: holds no frames", lines_.path());
        if (!lines_.ends_with_newline()) {
            log::warning("{}: line {}, the last one, does not end; its last number may be cut short",
                         lines_.path(), lines_.line());
        }
        return std::move(positions_);
    }

private:
    void read_heading(std::string_view word) {
        if (word == ":RADIANS" || word == ":radians") {
            factor_ = 180 / std::numbers::pi;
            return;
        }
        check(word == ":DEGREES" || word == ":degrees" || word == ":FULLY-SPECIFIED" ||
                  word == ":fully-specified" || word == ":SAMPLES-PER-SECOND",
              ExitCode::data, "{}: '{}'; :FULLY-SPECIFIED, :DEGREES or :RADIANS was expected", lines_.place(),
              word);
    }

    void begin_frame(std::string_view word) {
        end_frame(false);
        Index number = 0;
        const auto [end, problem] = std::from_chars(word.data(), word.data() + word.size(), number);
        check(problem == std::errc{} && end == word.data() + word.size(), ExitCode::data,
              "{}: '{}'; the number of a frame was expected", lines_.place(), word);
        check(count_ == 0 || number == number_ + 1, ExitCode::data, "{}: frame {} follows frame {}",
              lines_.place(), number, number_);
        number_ = number;
        ++count_;
        open_ = true;
        given_.assign(given_.size(), false);
    }

    void read_bone() {
        const std::string name(lines_.words()[0]);
        check(open_, ExitCode::data, "{}: '{}'; the number of the first frame was expected", lines_.place(),
              name);
        const auto found = numbers_.find(name);
        check(found != numbers_.end(), ExitCode::data, "{}: frame {}: {} has no bone '{}'{}", lines_.place(),
              number_, skeleton_.path, name, found == numbers_.end() ? hint(name, names_) : "");
        const std::size_t b = found->second;
        const Bone& bone = skeleton_.bones[b];
        check(!given_[b], ExitCode::data, "{}: frame {} has bone '{}' twice", lines_.place(), number_, name);
        check(lines_.words().size() == bone.channels.size() + 1, ExitCode::data,
              "{}: frame {}: bone '{}' has {} numbers; {} has {} channels for it", lines_.place(), number_,
              name, lines_.words().size() - 1, skeleton_.path, bone.channels.size());
        given_[b] = true;
        Vector angles{};
        for (std::size_t c = 0; c < bone.channels.size(); ++c) {
            const double value = lines_.number(c + 1);
            const auto which = static_cast<std::size_t>(bone.channels[c]);
            if (bone.channels[c] <= Channel::rz) {
                angles[which] = value * factor_;
            } else {
                translation_[which - 3] = value;
            }
        }
        turns_[b] = rotation(angles, bone.order);
    }

    // Positions of a frame that is complete.
    void end_frame(bool end_of_file) {
        if (!open_) {
            return;
        }
        for (std::size_t b = 0; b < given_.size(); ++b) {
            if (!given_[b]) {
                check(skeleton_.bones[b].channels.empty(), ExitCode::data, "{}: frame {} lacks bone '{}'{}",
                      lines_.place(), number_, skeleton_.bones[b].name,
                      end_of_file ? " (the file ends here: is it truncated?)" : "");
                turns_[b] = {};
            }
        }
        const std::size_t first = positions_.size();
        positions_.resize(first + 3 * given_.size());
        for (const std::int32_t number : skeleton_.outwards) {
            const auto b = static_cast<std::size_t>(number);
            const Bone& bone = skeleton_.bones[b];
            global_[b] = frames_[b] * turns_[b] * inverse(frames_[b]);
            Vector at{};
            if (bone.parent < 0) {
                for (std::size_t k = 0; k < 3; ++k) {
                    at[k] = bone.offset[k] + translation_[k];
                }
            } else {
                const auto parent = static_cast<std::size_t>(bone.parent);
                global_[b] = global_[parent] * global_[b];
                at = turned(global_[b], bone.direction);
                for (std::size_t k = 0; k < 3; ++k) {
                    at[k] = positions_[first + 3 * parent + k] + bone.length * at[k];
                }
            }
            std::ranges::copy(at, positions_.begin() + static_cast<Index>(first + 3 * b));
        }
        open_ = false;
    }

    TextLines lines_;
    const Skeleton& skeleton_;
    std::map<std::string, std::size_t> numbers_;
    std::vector<std::string> names_;
    std::vector<Quaternion> frames_; // C of every bone
    std::vector<Quaternion> turns_, global_;
    std::vector<bool> given_; // in this frame
    Vector translation_{};
    std::vector<double> positions_;
    double factor_ = 1; // to degrees
    Index number_ = 0, count_ = 0;
    bool open_ = false;
};

} // namespace

std::vector<double> read_amc(const std::string& path, const Skeleton& skeleton) {
    return AmcReader(path, skeleton).read();
}

} // namespace tether::data
