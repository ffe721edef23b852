// The models of this library by name: a model is one file with an entry and one line in
// src/models/registry.cpp. An entry holds the keys of the job file and makes the model, from a job's
// settings or from those of a parity file; whatever else names models walks this table.
#pragma once

#include "tether/core/settings.hpp"
#include "tether/models/model.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace tether::models {

// Names of the fields that the data offer: a model takes the node and edge features that are there.
class OfferedFields {
public:
    // `origin`: what offers them, for messages ("data set nbody").
    OfferedFields(std::string origin, std::vector<std::string> names)
        : origin_(std::move(origin)), names_(std::move(names)) {}
    [[nodiscard]] bool has(const std::string& name) const {
        return std::ranges::find(names_, name) != names_.end();
    }
    // The first of `wanted` that is offered; Error(usage) naming what there is if none is.
    [[nodiscard]] const std::string& one_of(const std::vector<std::string>& wanted) const;

private:
    std::string origin_;
    std::vector<std::string> names_;
};

// Settings of a parity file under their published names; Error(data) for what is missing.
struct PublishedSettings {
    std::string path;
    Settings values;
    [[nodiscard]] bool has(const std::string& name) const { return values.has(name); }
    [[nodiscard]] Index integer(const std::string& name) const;
    [[nodiscard]] std::string text(const std::string& name, const std::string& standard) const;
};

struct ModelEntry {
    Choice choice; // chooser "model.name": the word and its keys
    // From a job: all keys of the choice have values.
    std::shared_ptr<const Model> (*make)(const Settings& settings, const OfferedFields& fields);
    // From a parity file whose attribute `model` is this word, or begins with it and a space; null: there
    // are none.
    std::shared_ptr<const Model> (*make_published)(const PublishedSettings& settings,
                                                   const OfferedFields& fields) = nullptr;
};

[[nodiscard]] const std::vector<ModelEntry>& model_table();
// Throws Error(usage) for an unknown word, with the nearest one.
[[nodiscard]] const ModelEntry& find_model(const std::string& word);

} // namespace tether::models
