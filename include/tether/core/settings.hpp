// The vocabulary of configuration: what a key of a job file is (Key), a word that brings keys of its
// own (Choice: a model, a method, a data set), and typed values once read (Settings). It lies in core
// so that a model or a method declares its keys in its own file; reading job files is run's business.
#pragma once

#include "tether/core/types.hpp"

#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace tether {

using SettingValue = std::variant<bool, Index, double, std::string, std::vector<Index>, std::vector<double>>;

enum class Kind {
    boolean,
    integer,
    real,     // accepts an integer
    text,     // with Key::words: one of them
    integers, // list
    reals     // list, accepts integers
};

// The key exists only while the key `chooser` ("section.name") has one of these words.
struct Condition {
    std::string chooser;
    std::vector<std::string> words;
};

struct Key {
    std::string name;
    Kind kind = Kind::real;
    std::optional<SettingValue> standard = {}; // default; none, and nothing derived: the key is required
    std::string meaning = {};                  // one line
    std::string derived = {};                  // how the default follows from other keys, in words
    bool implied = false;                      // only that value is right: may be stated, is never stored
    std::string unit = {};
    double low = -std::numeric_limits<double>::max(); // of numbers and list entries, both inclusive
    double high = std::numeric_limits<double>::max();
    std::vector<std::string> words = {}; // allowed texts; empty: any
    Index entries = -1;                  // exact number of list entries; -1: any
    bool numeric = true;                 // can change the numbers: part of the job's hash
    std::vector<Condition> when = {};    // all must hold for the key to exist
    std::string needs = {};              // exists only if the chosen method, ..., `brings` this
    // A further demand: what is expected ("a power of two") where the value does not meet it, else "".
    std::function<std::string(const SettingValue&)> demand = {};
    // Texts with several spellings: the one that is stored and hashed. May throw Error.
    std::function<std::string(const std::string&)> canonical = {};
};

// A word of a choosing key (model.name, method.name, data.set) with the keys it alone has.
struct Choice {
    std::string chooser; // "model.name"
    std::string word;    // "segnn"
    std::string meaning; // one line
    std::vector<Key> keys = {};
    std::vector<std::string> brings = {}; // such as "dual": the job then has the keys that need it
};

// The values of one section. A key that is not there, or is of another kind, is a mistake of the
// program, not of the user: std::logic_error.
class Settings {
public:
    void set(const std::string& name, SettingValue value) { values_[name] = std::move(value); }

    [[nodiscard]] bool has(const std::string& name) const { return values_.contains(name); }
    [[nodiscard]] bool boolean(const std::string& name) const;
    [[nodiscard]] Index integer(const std::string& name) const;
    [[nodiscard]] double real(const std::string& name) const;
    [[nodiscard]] const std::string& text(const std::string& name) const;
    [[nodiscard]] const std::vector<Index>& integers(const std::string& name) const;
    [[nodiscard]] const std::vector<double>& reals(const std::string& name) const;
    [[nodiscard]] const std::map<std::string, SettingValue>& values() const { return values_; }

private:
    std::map<std::string, SettingValue> values_;
};

} // namespace tether
