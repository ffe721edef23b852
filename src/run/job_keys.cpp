#include "tether/run/job_keys.hpp"

#include "job_choices.hpp"
#include "src/run/job_sections.hpp"
#include "tether/methods/method.hpp"

#include <algorithm>
#include <list>
#include <mutex>
#include <stdexcept>

namespace tether::run {
namespace {

// Models and data sets; methods have a registry of their own, which may grow at any time.
std::vector<Choice>& registry() {
    static std::vector<Choice> choices = built_in_choices();
    return choices;
}

// The keys of a choice exist only while it is chosen.
Key bound_key(const Choice& choice, Key key) {
    key.when.insert(key.when.begin(), Condition{choice.chooser, {choice.word}});
    return key;
}

// All choices, and the rows that follow from them.
struct Table {
    std::vector<Choice> choices;
    std::vector<KeyRow> rows;

    Table() {
        for (const methods::MethodEntry& method : methods::method_table()) {
            choices.push_back(method.choice);
        }
        choices.insert(choices.end(), registry().begin(), registry().end());
        for (const std::string& section : job_sections()) {
            for (Key& key : keys_of(section)) {
                const std::string full = KeyRow{section, key}.full_name();
                for (const Choice& choice : choices) {
                    if (choice.chooser == full) {
                        key.words.push_back(choice.word);
                    }
                }
                rows.push_back({section, std::move(key)});
            }
            for (const Choice& choice : choices) {
                if (choice.chooser.substr(0, choice.chooser.find('.')) == section) {
                    for (const Key& key : choice.keys) {
                        rows.push_back({section, bound_key(choice, key)});
                    }
                }
            }
        }
    }
};

// Made anew when a choice was added; former ones stay, for who holds a reference.
const Table& table() {
    static std::mutex mutex;
    static std::list<Table> tables;
    const std::scoped_lock lock(mutex);
    if (tables.empty() ||
        tables.back().choices.size() != methods::method_table().size() + registry().size()) {
        tables.emplace_back();
    }
    return tables.back();
}

} // namespace

const std::vector<std::string>& job_sections() {
    static const std::vector<std::string> sections = {"",     "data",  "model",    "method", "primal",
                                                      "dual", "train", "parallel", "log"};
    return sections;
}

const std::vector<KeyRow>& job_key_table() { return table().rows; }

const std::vector<Choice>& job_choices() { return table().choices; }

std::vector<Choice> choices_of(std::string_view chooser) {
    std::vector<Choice> found;
    std::ranges::copy_if(job_choices(), std::back_inserter(found),
                         [&](const Choice& choice) { return choice.chooser == chooser; });
    return found;
}

void register_choice(Choice choice) {
    if (choice.chooser != "data.set" && choice.chooser != "model.name") {
        throw std::logic_error(
            "a choice belongs to data.set or model.name (methods: register_method), not to '" +
            choice.chooser + "'");
    }
    for (const Choice& other : registry()) {
        if (other.chooser == choice.chooser && other.word == choice.word) {
            throw std::logic_error(choice.chooser + " = '" + choice.word + "' is registered already");
        }
    }
    const std::string section = choice.chooser.substr(0, choice.chooser.find('.'));
    for (const Key& key : choice.keys) {
        for (const Key& fixed : keys_of(section)) {
            if (fixed.name == key.name) {
                throw std::logic_error("key '" + section + "." + key.name + "' of '" + choice.word +
                                       "' is a key of every job already");
            }
        }
    }
    registry().push_back(std::move(choice));
}

} // namespace tether::run
