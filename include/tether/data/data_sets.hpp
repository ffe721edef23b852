// The data sets a job can name (data.set). A further one is a file with its reader and one line in
// data_sets.cpp.
#pragma once

#include "tether/core/settings.hpp"
#include "tether/data/graph_set.hpp"

namespace tether::data {

struct DataSet {
    Choice choice; // chooser "data.set", the word, its own keys
    GraphSet (*open)(const std::string& path, const Settings& settings);
    std::vector<std::string> fields = {}; // that its samples have, inputs and targets
};

[[nodiscard]] const std::vector<DataSet>& data_sets();
// Throws Error(usage) for an unknown word, with the nearest one.
[[nodiscard]] const DataSet& find_data_set(const std::string& word);

// `settings`: train, validation, test (0: all of the split) and the set's own keys; what is missing
// has the default of its key. Throws Error(usage) for an unknown name with the nearest one,
// Error(data) for what is wrong with the file.
[[nodiscard]] GraphSet open_data_set(const std::string& name, const std::string& path,
                                     const Settings& settings);

} // namespace tether::data
