// The words of a job, from the tables of models, methods and data sets.
#include "job_choices.hpp"

#include "tether/data/data_sets.hpp"
#include "tether/models/registry.hpp"

namespace tether::run {

std::vector<Choice> built_in_choices() {
    std::vector<Choice> choices;
    for (const models::ModelEntry& model : models::model_table()) {
        choices.push_back(model.choice);
    }
    for (const data::DataSet& set : data::data_sets()) {
        choices.push_back(set.choice);
    }
    return choices;
}

} // namespace tether::run
