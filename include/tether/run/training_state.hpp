// The workers' part of a checkpoint: everything an engine needs to go on bitwise.
#pragma once

#include "tether/run/checkpoint.hpp"
#include "tether/run/engine.hpp"
#include "tether/run/job.hpp"

#include <string>

namespace tether::run {

[[nodiscard]] CheckpointHeader checkpoint_header(const Job& job, Index step);

// SHA-256 over parameters, slacks, moments, counts and buffers.
template <class T>
[[nodiscard]] std::string state_sha256(Engine<T>& engine);

template <class T>
[[nodiscard]] Checkpoint save_state(const Job& job, Index step, Engine<T>& engine);

// Sizes are checked: Error(data) naming the section.
template <class T>
void load_state(const Checkpoint& checkpoint, Engine<T>& engine);

} // namespace tether::run
