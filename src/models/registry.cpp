// The models of this library by name: one line each, one file each.
#include "tether/models/registry.hpp"

#include "tether/core/error.hpp"
#include "tether/core/text.hpp"

#include <fmt/ranges.h>

#define TETHER_MODELS(MODEL)                                                                                 \
    MODEL(segnn_entry)                                                                                       \
    MODEL(egnn_entry)                                                                                        \
    MODEL(egno_entry)                                                                                        \
    MODEL(transformer_entry)                                                                                 \
    MODEL(gnn_entry)                                                                                         \
    MODEL(mlp_entry)

namespace tether::models {

#define TETHER_DECLARE(function) ModelEntry function();
TETHER_MODELS(TETHER_DECLARE)
#undef TETHER_DECLARE

const std::vector<ModelEntry>& model_table() {
#define TETHER_ENTRY(function) function(),
    static const std::vector<ModelEntry> entries{TETHER_MODELS(TETHER_ENTRY)};
#undef TETHER_ENTRY
    return entries;
}

const ModelEntry& find_model(const std::string& word) {
    std::vector<std::string> words;
    for (const ModelEntry& entry : model_table()) {
        if (entry.choice.word == word) {
            return entry;
        }
        words.push_back(entry.choice.word);
    }
    fail(ExitCode::usage, "\"{}\" is not a model of this build{}", word, hint(word, words));
}

const std::string& OfferedFields::one_of(const std::vector<std::string>& wanted) const {
    for (const std::string& name : wanted) {
        if (has(name)) {
            return *std::ranges::find(names_, name);
        }
    }
    fail(ExitCode::usage, "{} has the fields {}; the model needs {}", origin_, fmt::join(names_, ", "),
         fmt::join(wanted, " or "));
}

Index PublishedSettings::integer(const std::string& name) const {
    const auto found = values.values().find(name);
    check(found != values.values().end() && std::holds_alternative<Index>(found->second), ExitCode::data,
          "{}: settings have no integer {}", path, name);
    return std::get<Index>(found->second);
}

std::string PublishedSettings::text(const std::string& name, const std::string& standard) const {
    const auto found = values.values().find(name);
    if (found == values.values().end()) {
        check(!standard.empty(), ExitCode::data, "{}: settings have no {}", path, name);
        return standard;
    }
    check(std::holds_alternative<std::string>(found->second), ExitCode::data, "{}: setting {} is no text",
          path, name);
    return std::get<std::string>(found->second);
}

} // namespace tether::models
