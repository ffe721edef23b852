// Names, units and meanings of every dataset of a run file.
#include "tether/run/run_file_layout.hpp"

#include <array>

namespace tether::run {
namespace {

Column step() { return {{"step", "1", "optimisation steps done"}, true, false}; }
Column number(std::string name, std::string units, std::string long_name) {
    return {{std::move(name), std::move(units), std::move(long_name)}, false, false};
}
Column of_sites(std::string name, std::string long_name) {
    return {{std::move(name), "1", std::move(long_name)}, false, true};
}

Table evaluation(const std::string& split, const RunDescription& description) {
    const Quantity& headline = description.headline;
    const std::string meaning = headline.long_name.empty() ? headline.name : headline.long_name;
    Table table{"/eval/" + split,
                {step(), number("projected", headline.units, meaning + ", branches absent (gamma = 0)"),
                 number("relaxed", headline.units, meaning + ", network as trained")}};
    for (const Quantity& metric : description.metrics) {
        table.columns.push_back({metric, false, false});
    }
    return table;
}

} // namespace

std::string run_status_name(RunStatus status) {
    constexpr std::array<const char*, 4> names{"running", "complete", "stopped", "failed"};
    return names.at(static_cast<std::size_t>(status));
}

std::vector<Table> run_file_tables(const RunDescription& description) {
    std::vector<Table> tables;
    tables.push_back({"/train",
                      {step(), number("epoch", "1", "passes over the training data"),
                       number("loss", "1", "mean task loss since the last row"),
                       number("learning_rate", "1", "step size of the primal optimiser"),
                       number("gradient_norm", "1", "Euclidean norm of the gradient before clipping"),
                       number("wall_s", "s", "time since the start of training, pauses left out")}});
    tables.push_back({"/constraint",
                      {step(), of_sites("gamma", "degree of symmetry breaking"),
                       of_sites("lambda", "multiplier of the constraint"),
                       of_sites("slack", "slack u of the resilient constraint")}});
    tables.push_back(evaluation("validation", description));
    tables.push_back(evaluation("test", description));
    const std::string& units = description.output_units;
    tables.push_back(
        {"/symmetry",
         {step(), number("error_mean", units, "equivariance error of the network as trained, mean"),
          number("error_max", units, "equivariance error of the network as trained, largest component"),
          number("bound", units, "bound of the equivariance error, constants estimated"),
          number("projected_error_mean", units, "equivariance error at gamma = 0, mean"),
          number("projected_error_max", units, "equivariance error at gamma = 0, largest component")}});
    for (const Quantity& quantity : description.symmetry) {
        tables.back().columns.push_back({quantity, false, false});
    }
    Table timing{"/timing", {step()}};
    for (const char* phase : {"data", "forward", "backward", "reduce", "optimise", "coordinator", "evaluate",
                              "checkpoint", "total"}) {
        timing.columns.push_back(number(phase, "s", std::string("time in ") + phase + " since the last row"));
    }
    tables.push_back(std::move(timing));
    if (!description.sites.empty()) {
        tables.push_back(
            {"/sites",
             {step(), of_sites("branch_ratio", "|f_free(z)| / |f_eq(z)| on the probe batch"),
              of_sites("free_size", "largest |f_free(z)| / |z| observed"),
              of_sites("lipschitz", "Lipschitz constant of f_eq, estimate (largest observed ratio)"),
              of_sites("free_lipschitz",
                       "Lipschitz constant of f_free, estimate (largest observed ratio)")}});
    }
    if (description.out_of_distribution) {
        tables.push_back(evaluation("out_of_distribution", description));
    }
    if (description.task_weights) {
        tables.push_back({"/tasks",
                          {step(), number("weight", "1", "weight of the loss on the samples as they are"),
                           number("turned_weight", "1", "weight of the loss on turned samples")}});
    }
    return tables;
}

} // namespace tether::run
