// What operations demand of their operands. Private to ops.
#pragma once

#include "tether/core/error.hpp"
#include "tether/program/builder.hpp"

namespace tether::ops {

inline void same_shape(const Builder& b, Value x, Value y, const char* name) {
    check(b.info(x).extent == b.info(y).extent && b.info(x).columns == b.info(y).columns,
          "{}: shapes differ: {} and {} columns", name, b.info(x).columns, b.info(y).columns);
}

} // namespace tether::ops
