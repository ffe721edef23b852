// Turns given values into a checked Job; see job.hpp for the rules.
#pragma once

#include "job_source.hpp"

#include "tether/run/job.hpp"
#include "tether/run/job_keys.hpp"

#include <map>
#include <optional>
#include <set>

namespace tether::run {

class JobReader {
public:
    // `source` names the text in messages and gives the job's default name.
    JobReader(std::vector<Given> from_text, std::vector<Given> from_overrides, std::string source);
    [[nodiscard]] Job read(const std::string& file);

private:
    struct Layer {
        std::vector<Given> order;
        std::map<std::string, Given> last; // by full name
    };
    struct Value_ {
        SettingValue value;
        std::string origin;
        bool overridden = false;
    };

    void check_names(const Layer& layer) const;
    void expand_method_alias(Layer& layer) const;
    void find_changed_choosers();
    [[nodiscard]] std::string method_label(const Layer& layer) const;
    void resolve();
    void check_unused(const Layer& layer, bool overrides) const;
    [[nodiscard]] bool holds(const Condition& condition) const;
    [[nodiscard]] bool needs_met(const Key& key) const;
    [[nodiscard]] const Given* given_for(const KeyRow& row, bool& overridden) const;
    [[nodiscard]] std::optional<SettingValue> derived(const std::string& full_name) const;
    [[nodiscard]] std::string text_of(const std::string& full_name) const; // word of a resolved chooser
    [[noreturn]] void unknown(const Given& given) const;

    const std::vector<KeyRow>& table_ = job_key_table();
    Layer text_, overrides_;
    std::string source_;
    std::set<std::string> changed_; // choosers that an override set to another word
    std::set<std::string> used_;
    std::map<std::string, Value_> values_;
    Job job_;
};

// The value of a key, or Error(usage) saying what was found and what was expected.
[[nodiscard]] SettingValue convert(const Key& key, const std::string& full_name, const Given& given);

// Fills the typed sections from the entries by name.
void fill_job(Job& job, const std::map<std::string, Settings>& sections);

// Combinations that no single key shows to be wrong. Throws Error(usage).
void check_combinations(const Job& job);

} // namespace tether::run
