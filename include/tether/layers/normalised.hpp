// Batch norm and spectrally normalised linear layers under their published names, with their buffers.
#pragma once

#include "tether/program/builder.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace tether::layers {

// `name`.weight, .bias [columns]; buffers .running_mean, .running_var, .num_batches_tracked.
Value batch_norm(Builder& b, const std::string& name, Value x, ParameterKind kind, bool training);

// Linear with weight / sigma (five power iterations per training forward); weight
// `name`.parametrizations.weight.original [out, in], .bias; buffers .parametrizations.weight.0._u, ._v.
Value spectral_linear(Builder& b, const std::string& name, Value x, Index out, ParameterKind kind,
                      bool training);

// Start of the power-iteration vectors: random, then 15 iterations with the initial weights.
template <class T>
void initialise_spectral(const ParameterSet& parameters, const StateSet& states, std::uint64_t seed,
                         const std::vector<T>& flat, std::vector<T>& state);

} // namespace tether::layers
