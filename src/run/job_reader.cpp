#include "job_reader.hpp"

#include "toml_source.hpp"

#include "tether/core/error.hpp"
#include "tether/core/text.hpp"

#include <algorithm>
#include <filesystem>

namespace tether::run {
namespace {

std::string text_value(const Given& given) {
    const auto* text = std::get_if<std::string>(&given.raw.value);
    return text != nullptr ? *text : std::string{};
}

} // namespace

JobReader::JobReader(std::vector<Given> from_text, std::vector<Given> from_overrides, std::string source)
    : source_(std::move(source)) {
    text_.order = std::move(from_text);
    overrides_.order = std::move(from_overrides);
    for (Layer* layer : {&text_, &overrides_}) {
        for (const Given& given : layer->order) {
            layer->last[given.full_name()] = given;
        }
    }
}

Job JobReader::read(const std::string& file) {
    job_.file_ = file;
    check_names(text_);
    check_names(overrides_);
    find_changed_choosers();
    expand_method_alias(text_);
    expand_method_alias(overrides_);
    resolve();
    check_unused(overrides_, true);
    check_unused(text_, false);

    std::map<std::string, Settings> sections;
    for (const Job::Entry& entry : job_.entries_) {
        sections[entry.section].set(entry.key.name, entry.value);
    }
    fill_job(job_, sections);
    check_combinations(job_);
    return std::move(job_);
}

void JobReader::check_names(const Layer& layer) const {
    for (const Given& given : layer.order) {
        const auto same = [&](const KeyRow& row) {
            return row.section == given.section && row.key.name == given.name;
        };
        if (given.is_section || std::ranges::none_of(table_, same)) {
            unknown(given);
        }
    }
}

void JobReader::unknown(const Given& given) const {
    const std::vector<std::string>& sections = job_sections();
    const bool known_section = std::ranges::find(sections, given.section) != sections.end();
    if (given.is_section || !known_section) {
        const std::string name = given.is_section ? given.name : given.section;
        const std::vector<std::string> named(sections.begin() + 1, sections.end());
        fail(ExitCode::usage, "{}: unknown section [{}]{}", given.origin, name, hint(name, named));
    }
    std::vector<std::string> here, elsewhere, exact;
    for (const KeyRow& row : table_) {
        if (row.section == given.section) {
            if (std::ranges::find(here, row.key.name) == here.end()) {
                here.push_back(row.key.name);
            }
        } else {
            elsewhere.push_back(row.full_name());
            if (row.key.name == given.name && std::ranges::find(exact, row.full_name()) == exact.end()) {
                exact.push_back(row.full_name());
            }
        }
    }
    std::string advice;
    if (!exact.empty()) {
        advice = " (did you mean '" + join(exact, "' or '") + "'?)";
    } else if (const std::string near = nearest_name(given.name, here); !near.empty()) {
        advice = " (did you mean '" + (given.section.empty() ? near : given.section + "." + near) + "'?)";
    } else if (std::ranges::find(sections, given.name) != sections.end()) {
        advice = " (it is a section)";
    } else {
        advice = hint(given.name, here);
    }
    fail(ExitCode::usage, "{}: unknown key '{}'{}", given.origin, given.full_name(), advice);
}

// "ace" or "ace-resilient" for the two forms of ace, the name itself for other methods.
std::string JobReader::method_label(const Layer& layer) const {
    const auto name = layer.last.find("method.name");
    const std::string word = name == layer.last.end() ? "" : text_value(name->second);
    const auto constraint = layer.last.find("method.constraint");
    const bool resilient = constraint != layer.last.end() && text_value(constraint->second) == "resilient";
    return word == "ace" && resilient ? "ace-resilient" : word;
}

void JobReader::find_changed_choosers() {
    for (const KeyRow& row : table_) {
        const std::string full = row.full_name();
        const auto set = overrides_.last.find(full);
        if (set == overrides_.last.end() || row.key.kind != Kind::text) {
            continue;
        }
        std::string before;
        std::string after = text_value(set->second);
        if (full == "method.name") {
            before = method_label(text_);
            after = method_label(overrides_);
        } else if (const auto in_text = text_.last.find(full); in_text != text_.last.end()) {
            before = text_value(in_text->second);
        } else if (row.key.standard) {
            before = std::get<std::string>(*row.key.standard);
        }
        if (before != after) {
            changed_.insert(full);
        }
    }
}

// ace-resilient is ace with another constraint: one job, one hash, whichever way it is written.
void JobReader::expand_method_alias(Layer& layer) const {
    const auto name = layer.last.find("method.name");
    if (name == layer.last.end() || text_value(name->second) != "ace-resilient") {
        return;
    }
    const auto constraint = layer.last.find("method.constraint");
    if (constraint != layer.last.end()) {
        check(text_value(constraint->second) == "resilient",
              "{}: impossible combination: method.name = \"ace-resilient\" ({}) has constraint = "
              "\"resilient\", "
              "found {}",
              constraint->second.origin, name->second.origin, found_text(constraint->second.raw));
    } else {
        Given implied = name->second;
        implied.name = "constraint";
        implied.raw.value = std::string("resilient");
        implied.bare = "resilient";
        layer.last["method.constraint"] = implied;
    }
    name->second.raw.value = std::string("ace");
    name->second.bare = "ace";
}

std::string JobReader::text_of(const std::string& full_name) const {
    const auto found = values_.find(full_name);
    const auto* text = found == values_.end() ? nullptr : std::get_if<std::string>(&found->second.value);
    return text == nullptr ? std::string{} : *text;
}

bool JobReader::holds(const Condition& condition) const {
    const std::string word = text_of(condition.chooser);
    return !word.empty() && std::ranges::find(condition.words, word) != condition.words.end();
}

bool JobReader::needs_met(const Key& key) const {
    if (key.needs.empty()) {
        return true;
    }
    return std::ranges::any_of(job_choices(), [&](const Choice& choice) {
        return choice.word == text_of(choice.chooser) &&
               std::ranges::find(choice.brings, key.needs) != choice.brings.end();
    });
}

const Given* JobReader::given_for(const KeyRow& row, bool& overridden) const {
    const std::string full = row.full_name();
    if (const auto set = overrides_.last.find(full); set != overrides_.last.end()) {
        overridden = true;
        return &set->second;
    }
    const auto former = [&](const Condition& condition) { return changed_.contains(condition.chooser); };
    const auto in_text = text_.last.find(full);
    if (in_text == text_.last.end() || std::ranges::any_of(row.key.when, former)) {
        return nullptr; // what the text says belongs to the former choice
    }
    return &in_text->second;
}

std::optional<SettingValue> JobReader::derived(const std::string& full_name) const {
    if (full_name == "name") {
        return std::filesystem::path(source_).stem().string();
    }
    if (full_name == "dual.signed") {
        const auto epsilon = values_.find("method.epsilon");
        const bool tolerant = epsilon != values_.end() && std::get<double>(epsilon->second.value) > 0;
        return text_of("method.constraint") == "equality" && !tolerant;
    }
    return std::nullopt;
}

void JobReader::resolve() {
    std::vector<std::string> missing;
    for (const KeyRow& row : table_) {
        const std::string full = row.full_name();
        if (values_.contains(full) || !needs_met(row.key) ||
            !std::ranges::all_of(row.key.when, [&](const Condition& c) { return holds(c); })) {
            continue;
        }
        bool overridden = false;
        Value_ resolved;
        if (const Given* given = given_for(row, overridden)) {
            resolved = {convert(row.key, full, *given), given->origin, overridden};
        } else if (row.key.standard) {
            resolved = {*row.key.standard, "default", false};
        } else if (const std::optional<SettingValue> value = derived(full)) {
            resolved = {*value, "default", false};
            const std::string wrong = row.key.demand ? row.key.demand(*value) : std::string{};
            check(wrong.empty(), "{}: '{}' is missing, and the file's name is no {}: expected {}", source_,
                  full, full, wrong);
        } else {
            missing.push_back("'" + full + "' (" + row.key.meaning + ")");
            continue;
        }
        used_.insert(full);
        job_.entries_.push_back({row.section, row.key, resolved.value, resolved.origin});
        values_[full] = std::move(resolved);
    }
    check(missing.empty(), "{}: {}missing {}", source_,
          text_.order.empty() && overrides_.order.empty() ? "the job is empty: " : "", join(missing, ", "));
}

// A key that was given but does not apply would mislead, unless an override took its ground away.
void JobReader::check_unused(const Layer& layer, bool overrides) const {
    for (const Given& given : layer.order) {
        const std::string full = given.full_name();
        if (used_.contains(full)) {
            continue;
        }
        std::vector<std::string> wanted, have;
        bool ground_taken = false;
        for (const KeyRow& row : table_) {
            if (row.full_name() != full) {
                continue;
            }
            std::string chooser = "method.name";
            std::string want = "a method with multipliers (ace)";
            if (needs_met(row.key)) {
                const auto failing =
                    std::ranges::find_if(row.key.when, [&](const Condition& c) { return !holds(c); });
                chooser = failing->chooser;
                want = chooser + " = " + join(failing->words, " or ");
            }
            const auto value = values_.find(chooser);
            const std::string found = value == values_.end()
                                          ? "no " + chooser
                                          : fmt::format("{} = {} ({})", chooser,
                                                        toml_text(value->second.value), value->second.origin);
            const auto former = [&](const Condition& c) { return changed_.contains(c.chooser); };
            ground_taken = ground_taken || (value != values_.end() && value->second.overridden) ||
                           std::ranges::any_of(row.key.when, former);
            if (std::ranges::find(wanted, want) == wanted.end()) {
                wanted.push_back(want);
            }
            if (std::ranges::find(have, found) == have.end()) {
                have.push_back(found);
            }
        }
        check(ground_taken && !overrides, "{}: '{}' has no effect: it needs {}, this job has {}",
              given.origin, full, join(wanted, ", or "), join(have, ", "));
    }
}

Job read_job(const std::string& path, std::span<const std::string> overrides) {
    const std::string text = read_toml_file(path, "job file");
    return JobReader(given_in_text(text, path, job_sections()), given_in_overrides(overrides), path)
        .read(path);
}

Job parse_job_text(const std::string& text, const std::string& source,
                   std::span<const std::string> overrides) {
    return JobReader(given_in_text(text, source, job_sections()), given_in_overrides(overrides), source)
        .read("");
}

} // namespace tether::run
