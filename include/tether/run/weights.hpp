// Weight files: the parameters and buffers of a network under the names and in the layouts of the
// published implementations, as plain HDF5: /weight/<name>, /gamma (gates in the order of sites);
// attributes kind ("weights"), model, settings (JSON with the keys of the reference files), job
// (resolved TOML), job_hash, step, precision. Reference files of kind `model` are read as well.
// Invariant: export -> import -> export gives the same bits.
#pragma once

#include "tether/run/job.hpp"
#include "tether/run/network.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace tether::run {

// The numbers of a network, exact in double whatever the precision of the job.
struct NetworkNumbers {
    std::vector<double> trained; // parameters, then slacks
    std::vector<double> state;   // buffers
    std::vector<double> gates;   // of each site: trained, set by the method, or constant
};

// What the model is, in the words of the reference files: "segnn", "egnn", "egnn with sites".
[[nodiscard]] std::string weights_model(const Job& job, const Network& network);
[[nodiscard]] nlohmann::json weights_settings(const Job& job, const Network& network);

// Published atomically. `network` may have fewer parameters than the numbers are of: `whole` says
// where they lie, and those that `network` has are written (export of the equivariant part alone).
void write_weights(const std::string& path, const Job& job, Index step, const Network& network,
                   const Network& whole, const NetworkNumbers& numbers);

// Fills parameters, gates and buffers; slacks start as the method says. Everything foreign is checked
// before anything is filled: Error(data) with dataset, what was found and what was expected; names that
// are missing or unknown all in one message, each with the nearest.
[[nodiscard]] NetworkNumbers read_weights(const std::string& path, const Job& job, const Network& network);

} // namespace tether::run
