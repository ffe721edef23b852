// Reading: every table of the file becomes layers of SweepChange; an axis is a list of layers with
// labels, and the runs are the product of the axes.
#include "tether/run/sweep.hpp"

#include "toml_source.hpp"

#include "tether/core/error.hpp"
#include "tether/core/text.hpp"
#include "tether/run/job_keys.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>

namespace tether::run {
namespace fs = std::filesystem;
namespace {

const std::vector<std::string> top_words{"name", "base", "seeds", "max_runs", "retries",
                                         "set",  "grid", "zip",   "run"};

struct Value {
    std::vector<SweepChange> changes;
    std::vector<std::pair<std::string, std::string>> labels;
};

struct Axis {
    std::string name, origin;
    std::vector<Value> values;
};

std::string without_quotes(const std::string& text) {
    return text.size() >= 2 && text.front() == '"' ? text.substr(1, text.size() - 2) : text;
}

class Reader {
public:
    explicit Reader(std::string path) : path_(std::move(path)) {}

    Sweep read() {
        const toml::table root = parse_toml(read_toml_file(path_, "sweep file"), path_);
        for (auto&& [key, node] : root) {
            const std::string name(key.str());
            check(std::ranges::find(top_words, name) != top_words.end(), "{}: unknown key '{}'{}",
                  at(key.source()), name, hint(name, top_words));
        }
        Sweep sweep;
        sweep.file = path_;
        sweep.name = name_of(root);
        sweep.base = base_of(root);
        sweep.max_runs = whole(root, "max_runs", sweep.max_runs, 1'000'000);
        sweep.retries = whole(root, "retries", sweep.retries, 1000);
        std::vector<SweepChange> everywhere;
        if (const toml::table* set = section(root, "set")) {
            leaves(*set, "", [&](const std::string& key, const toml::node& value, const std::string& where) {
                check_key(key, where);
                everywhere.push_back({key, toml_value_text(value, where + ": " + key), where});
            });
        }
        std::vector<Axis> axes;
        if (const toml::table* grid = section(root, "grid")) {
            read_grid(*grid, axes);
        }
        if (const toml::table* zip = section(root, "zip")) {
            axes.push_back(read_zip(*zip));
        }
        const std::vector<Axis> seeds = seeds_of(root);
        const toml::array* singles = singles_of(root);

        if (!axes.empty() || singles == nullptr) {
            std::vector<Axis> all = axes;
            all.insert(all.end(), seeds.begin(), seeds.end());
            product(sweep, everywhere, all, axes.empty() ? path_ : axes.front().origin);
        }
        if (singles != nullptr) {
            for (const toml::node& node : *singles) {
                read_single(sweep, everywhere, seeds, node);
            }
        }
        return sweep;
    }

private:
    using Leaf = std::function<void(const std::string&, const toml::node&, const std::string&)>;

    [[nodiscard]] std::string at(const toml::source_region& region) const {
        return fmt::format("{}:{}", path_, region.begin.line);
    }

    // Keys below a table with their dotted names, in the order of the file's lines.
    void leaves(const toml::table& table, const std::string& prefix, const Leaf& take) const {
        std::vector<std::pair<const toml::key*, const toml::node*>> entries;
        for (auto&& [key, node] : table) {
            entries.emplace_back(&key, &node);
        }
        std::ranges::stable_sort(entries, {}, [](const auto& e) {
            const auto& begin = e.first->source().begin;
            return std::pair(begin.line, begin.column);
        });
        for (const auto& [key, node] : entries) {
            const std::string name =
                prefix.empty() ? std::string(key->str()) : prefix + "." + std::string(key->str());
            if (const toml::table* inside = node->as_table()) {
                check(!inside->empty(), "{}: [{}] is empty", at(key->source()), name);
                leaves(*inside, name, take);
            } else {
                take(name, *node, at(key->source()));
            }
        }
    }

    const toml::table* section(const toml::table& root, const std::string& name) const {
        const toml::node* node = root.get(name);
        if (node == nullptr) {
            return nullptr;
        }
        const toml::table* table = node->as_table();
        check(table != nullptr, "{}: expected the section [{}]", at(node->source()), name);
        check(!table->empty(), "{}: [{}] is empty; leave it out, or name a key", at(node->source()), name);
        return table;
    }

    Index whole(const toml::table& root, const std::string& name, Index standard, Index most) const {
        const toml::node* node = root.get(name);
        if (node == nullptr) {
            return standard;
        }
        const auto* value = node->as_integer();
        check(value != nullptr && value->get() >= 1 && value->get() <= most,
              "{}: '{}' must be an integer 1 .. {}", at(node->source()), name, most);
        return value->get();
    }

    std::string text(const toml::node& node, const std::string& name) const {
        const auto* value = node.as_string();
        check(value != nullptr && !value->get().empty(), "{}: '{}' must be a text", at(node.source()), name);
        return value->get();
    }

    std::string name_of(const toml::table& root) const {
        const toml::node* node = root.get("name");
        std::string name = node == nullptr ? fs::path(path_).stem().string() : text(*node, "name");
        const bool good = name.size() <= 60 && name.front() != '.' && name.front() != '-' &&
                          std::ranges::all_of(name, is_plain);
        check(
            good,
            "{}: the sweep's name '{}' becomes part of folder names: expected 1 to 60 letters, digits, '-', "
            "'_' or '.', not starting with '-' or '.'",
            node == nullptr ? path_ : at(node->source()), name);
        return name;
    }

    std::string base_of(const toml::table& root) const {
        const toml::node* node = root.get("base");
        check(node != nullptr, "{}: missing 'base', the job file that is varied", path_);
        const fs::path given = text(*node, "base");
        const fs::path found = given.is_absolute() ? given : fs::path(path_).parent_path() / given;
        std::error_code error;
        check(fs::exists(found, error), "{}: base {} does not exist (looked for {})", at(node->source()),
              given.string(), found.lexically_normal().string());
        return found.lexically_normal().string();
    }

    // Sections and keys of a job; the rest is said by the job's reader, for the job at hand.
    void check_key(const std::string& key, const std::string& where) const {
        for (const KeyRow& row : table_) {
            if (row.full_name() == key) {
                return;
            }
        }
        std::vector<std::string> names;
        for (const KeyRow& row : table_) {
            names.push_back(row.full_name());
        }
        const std::string near = nearest_name(key, names);
        fail(ExitCode::usage, "{}: unknown key '{}'{}", where, key,
             near.empty() ? " (tether train --keys lists them)" : " (did you mean '" + near + "'?)");
    }

    const toml::array& list(const toml::node& node, const std::string& key, const std::string& where) const {
        const toml::array* array = node.as_array();
        check(array != nullptr, "{}: {} must be a list of values", where, key);
        check(!array->empty(), "{}: the axis {} is empty", where, key);
        return *array;
    }

    // { label = "ace", method.name = "ace", … }
    Value named_value(const toml::table& table, const std::string& axis, const std::string& where) const {
        Value value;
        std::string label;
        leaves(table, "", [&](const std::string& key, const toml::node& node, const std::string& line) {
            if (key == "label") {
                label = text(node, "label");
                return;
            }
            check_key(key, line);
            value.changes.push_back({key, toml_value_text(node, line + ": " + key), line});
        });
        check(!label.empty(), "{}: a value of the axis {} has no label", where, axis);
        value.labels = {{axis, label}};
        return value;
    }

    Value plain_value(const toml::node& node, const std::string& key, const std::string& where) const {
        const std::string value = toml_value_text(node, where + ": " + key);
        return {{{key, value, where}}, {{key, without_quotes(value)}}};
    }

    void read_grid(const toml::table& grid, std::vector<Axis>& axes) const {
        leaves(grid, "", [&](const std::string& key, const toml::node& node, const std::string& where) {
            Axis axis{key, where, {}};
            const toml::array& values = list(node, key, where);
            const bool named = values.get(0)->is_table();
            if (!named) {
                check_key(key, where);
            }
            for (const toml::node& value : values) {
                check(value.is_table() == named, "{}: {} mixes plain values and tables", where, key);
                axis.values.push_back(named ? named_value(*value.as_table(), key, where)
                                            : plain_value(value, key, where));
            }
            axes.push_back(std::move(axis));
        });
    }

    Axis read_zip(const toml::table& zip) const {
        Axis axis{"zip", "", {}};
        std::string first;
        leaves(zip, "", [&](const std::string& key, const toml::node& node, const std::string& where) {
            check_key(key, where);
            const toml::array& values = list(node, key, where);
            if (axis.values.empty()) {
                first = key;
                axis.origin = where;
                axis.values.resize(values.size());
            }
            check(values.size() == axis.values.size(),
                  "{}: [zip] takes lists of equal length: {} has {} values, {} has {}", where, key,
                  values.size(), first, axis.values.size());
            for (std::size_t i = 0; i < values.size(); ++i) {
                Value value = plain_value(*values.get(i), key, where);
                axis.values[i].changes.push_back(std::move(value.changes.front()));
                axis.values[i].labels.push_back(std::move(value.labels.front()));
            }
        });
        return axis;
    }

    std::vector<Axis> seeds_of(const toml::table& root) const {
        const toml::node* node = root.get("seeds");
        if (node == nullptr) {
            return {};
        }
        const std::string where = at(node->source());
        Axis axis{"seed", where, {}};
        for (const toml::node& seed : list(*node, "seeds", where)) {
            check(seed.is_integer(), "{}: seeds must be a list of integers", where);
            axis.values.push_back(plain_value(seed, "seed", where));
        }
        return {axis};
    }

    const toml::array* singles_of(const toml::table& root) const {
        const toml::node* node = root.get("run");
        if (node == nullptr) {
            return nullptr;
        }
        const toml::array* array = node->as_array();
        check(array != nullptr && !array->empty() && array->get(0)->is_table(),
              "{}: single runs are written [[run]]", at(node->source()));
        return array;
    }

    void read_single(Sweep& sweep, const std::vector<SweepChange>& changes, const std::vector<Axis>& seeds,
                     const toml::node& node) const {
        const std::string where = at(node.source());
        const toml::table* table = node.as_table();
        check(table != nullptr && !table->empty(), "{}: a [[run]] that changes nothing", where);
        Axis single{"run", where, {Value{}}};
        Value& value = single.values.front();
        std::string label;
        leaves(*table, "", [&](const std::string& key, const toml::node& leaf, const std::string& line) {
            if (key == "label") {
                label = text(leaf, "label");
                return;
            }
            check_key(key, line);
            Value one = plain_value(leaf, key, line);
            value.changes.push_back(std::move(one.changes.front()));
            value.labels.push_back(std::move(one.labels.front()));
        });
        if (!label.empty()) {
            value.labels = {{"run", label}};
        }
        std::vector<Axis> axes{single};
        if (std::ranges::find(value.changes, "seed", &SweepChange::key) == value.changes.end()) {
            axes.insert(axes.end(), seeds.begin(), seeds.end());
        }
        product(sweep, changes, axes, where);
    }

    // The last axis runs fastest.
    void product(Sweep& sweep, const std::vector<SweepChange>& everywhere, const std::vector<Axis>& axes,
                 const std::string& origin) const {
        double count = 1;
        std::map<std::string, std::string> owner;
        for (const Axis& axis : axes) {
            count *= static_cast<double>(axis.values.size());
            std::map<std::string, std::string> mine;
            for (const Value& value : axis.values) {
                for (const SweepChange& change : value.changes) {
                    mine.emplace(change.key, change.origin);
                }
            }
            for (const auto& [key, where] : mine) {
                const auto [other, fresh] = owner.emplace(key, where);
                check(fresh, "{}: '{}' is varied twice, here and in {}", where, key, other->second);
            }
        }
        const double sum = count + static_cast<double>(sweep.runs.size());
        check(sum <= static_cast<double>(sweep.max_runs),
              "{}: the sweep has {:.0f} runs, {} are allowed; raise max_runs if that is meant", path_, sum,
              sweep.max_runs);
        std::vector<std::size_t> at_value(axes.size(), 0);
        for (Index n = 0; n < static_cast<Index>(count); ++n) {
            SweepRun run{everywhere, {}, origin};
            for (std::size_t a = 0; a < axes.size(); ++a) {
                const Value& value = axes[a].values[at_value[a]];
                run.changes.insert(run.changes.end(), value.changes.begin(), value.changes.end());
                run.labels.insert(run.labels.end(), value.labels.begin(), value.labels.end());
            }
            sweep.runs.push_back(std::move(run));
            for (std::size_t a = axes.size(); a-- > 0 && ++at_value[a] == axes[a].values.size();) {
                at_value[a] = 0;
            }
        }
    }

    static bool is_plain(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
               c == '_' || c == '.';
    }

    friend std::string folder_words(const std::string& text);
    std::string path_;
    const std::vector<KeyRow>& table_ = job_key_table();
};

std::string folder_words(const std::string& text) {
    std::string out;
    for (const char c : text) {
        out += Reader::is_plain(c) ? c : '_';
    }
    return out;
}

// "methods-ace-lr0.001-seed43"
std::string run_name(const Sweep& sweep, const SweepRun& run) {
    std::string name = sweep.name;
    for (const auto& [axis, label] : run.labels) {
        const bool word = !label.empty() && std::isalpha(static_cast<unsigned char>(label.front())) != 0 &&
                          label != "true" && label != "false";
        const std::string last = axis.substr(axis.rfind('.') + 1);
        name += "-" + folder_words(word ? label : last + label);
    }
    return name.substr(0, 100);
}

} // namespace

std::vector<std::string> SweepRun::overrides() const {
    std::vector<std::string> out;
    for (const SweepChange& change : changes) {
        out.push_back(change.key + "=" + change.value);
    }
    return out;
}

std::string SweepRun::description() const {
    std::vector<std::string> parts;
    for (const auto& [axis, label] : labels) {
        parts.push_back(axis + "=" + label);
    }
    return parts.empty() ? "the job itself" : join(parts, ", ");
}

Job Sweep::job(const SweepRun& run) const {
    std::vector<std::string> overrides = run.overrides();
    if (std::ranges::find(run.changes, "name", &SweepChange::key) == run.changes.end()) {
        overrides.insert(overrides.begin(), "name=" + toml_text(SettingValue(run_name(*this, run))));
    }
    try {
        std::error_code error;
        const fs::path data = fs::absolute(read_job(base, overrides).data_file(), error).lexically_normal();
        overrides.push_back("data.file=" + toml_text(SettingValue(data.string())));
        return read_job(base, overrides);
    } catch (const Error& problem) {
        // The reader of jobs knows an override only as "--set key=value"; people know its line.
        std::string text = problem.what();
        for (const SweepChange& change : run.changes) {
            const std::string told = "--set " + change.key + "=";
            for (std::size_t found = 0; (found = text.find(told)) != std::string::npos;) {
                text.replace(found, told.size(), change.origin + ": " + change.key + " = ");
            }
        }
        fail(problem.code(), "{}: run ({}): {}", file, run.description(), text);
    }
}

Sweep read_sweep(const std::string& path) { return Reader(path).read(); }

} // namespace tether::run
