// A job as text, as hash, and its paths.
#include "tether/run/job.hpp"

#include "tether/core/error.hpp"
#include "tether/core/sha256.hpp"
#include "tether/core/text.hpp"
#include "tether/run/job_keys.hpp"

#include <algorithm>
#include <filesystem>

namespace tether::run {
namespace fs = std::filesystem;

std::string MethodSection::label() const {
    return name == "ace" && has("constraint") && text("constraint") == "resilient" ? "ace-resilient" : name;
}

methods::MethodSettings Job::method_settings() const {
    return {.name = method.name, .values = method, .dual = dual.optimiser};
}

std::string Job::resolved() const {
    std::string out;
    std::string section;
    for (const Entry& entry : entries_) {
        if (entry.key.implied) {
            continue;
        }
        if (entry.section != section) {
            section = entry.section;
            out += "\n[" + section + "]\n";
        }
        out += entry.key.name + " = " + toml_text(entry.value) + "\n";
    }
    return out;
}

std::string Job::hash() const {
    std::vector<std::string> lines; // sorted: the order of the table must not matter
    for (const Entry& entry : entries_) {
        if (entry.key.numeric && !entry.key.implied) {
            lines.push_back(entry.section + "." + entry.key.name + " = " + toml_text(entry.value) + "\n");
        }
    }
    // Another file of a data set is another job; where it lies is not.
    lines.push_back("data.file = " + fs::path(data.file).filename().string() + "\n");
    std::ranges::sort(lines);
    Sha256 sum;
    for (const std::string& line : lines) {
        sum.add(line);
    }
    return sum.hex();
}

std::string Job::origin(const std::string& full_name) const {
    for (const Entry& entry : entries_) {
        if ((entry.section.empty() ? entry.key.name : entry.section + "." + entry.key.name) == full_name) {
            return entry.origin;
        }
    }
    return {};
}

std::vector<std::string> Job::candidates(const std::string& path) const {
    std::vector<std::string> found = {path};
    if (fs::path(path).is_absolute() || file_.empty()) {
        return found;
    }
    std::error_code error;
    fs::path where = fs::weakly_canonical(fs::absolute(file_, error), error).parent_path();
    fs::path project = where;
    for (; where.has_relative_path(); where = where.parent_path()) {
        if (where.filename() == "jobs") {
            project = where.parent_path(); // the outermost one wins
        }
    }
    const std::string second = (project / path).lexically_normal().string();
    if (fs::absolute(path, error).lexically_normal() != second) {
        found.push_back(second);
    }
    return found;
}

std::string Job::data_file() const {
    const std::vector<std::string> places = candidates(data.file);
    for (const std::string& place : places) {
        std::error_code error;
        if (fs::exists(place, error)) {
            return place;
        }
    }
    fail(ExitCode::data,
         "data file not found: looked for {} (data.file, {}); `tether data {} --out FILE` makes one",
         join(places, " and "), origin("data.file"), data.set);
}

} // namespace tether::run
