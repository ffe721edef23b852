// Group elements acting on batches: every sample is turned by an element of its own, vectors by the
// matrix, scalars not at all. For augmentation and for equivariance errors.
#pragma once

#include "tether/program/batch.hpp"
#include "tether/symmetry/groups.hpp"

#include <span>
#include <string>
#include <vector>

namespace tether::run {

// Whether every three numbers of a field are a vector (they turn with the frame).
[[nodiscard]] bool is_vector_field(const std::string& name, Index width);

// For people: "O(3)", "O(2) about y".
[[nodiscard]] std::string group_text(const symmetry::Group& group);

// One element per graph of the part: a pure function of (seed, purpose, step, sample).
void draw_elements(const symmetry::Group& group, std::uint64_t seed, Purpose purpose, Index step,
                   std::span<const Index> samples, std::vector<symmetry::O3Element>& elements);

// Turns the vector fields of a part in place. `fields` are the names of part.field.
template <class T>
void turn(BatchPart<T>& part, std::span<const std::string> fields,
          std::span<const symmetry::O3Element> elements);

// Turns node vectors [nodes x (one or more times) x 3].
template <class T>
void turn_nodes(const BatchPart<T>& part, std::span<T> rows, std::span<const symmetry::O3Element> elements);

} // namespace tether::run
