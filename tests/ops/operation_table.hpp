// The one table of operations: each case records an operation on inputs of a given width, and one
// set of checks (gradients, precisions, lanes, debug executor) and one benchmark go over all cases.
// Adding an operation: one entry in operation_table.cpp.
#pragma once

#include "tether/program/builder.hpp"

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace tether::test {

// Where the entries of an input come from: entry = law(u), u uniform on [-1, 1).
using Law = std::function<double(double u)>;

// What a case records on. Inputs and parameters get gradients unless they are asked for as `fixed`.
class OperationInputs {
public:
    OperationInputs(Builder& builder, Index columns) : b(builder), width(columns) {}

    Value rows(Axis axis, Index columns, Law law = {}, bool gradient = true, Index times = 1);
    Value fixed(Axis axis, Index columns, Law law = {}) { return rows(axis, columns, std::move(law), false); }
    Value parameter(Index size, Law law = {});
    Value control(double value);
    Value state(std::vector<Index> shape, Law law);

    Builder& b;
    Index width;
    std::map<std::string, Law> laws; // of fields, parameters and states, by name
    std::vector<double> controls;

private:
    std::string next(const char* what);
    int made_ = 0;
};

struct OperationCase {
    std::string name; // function of include/tether/ops, then a variant: "linear/silu"
    std::function<Value(OperationInputs&)> record;
    std::vector<std::string> functions = {}; // further functions that this case stands for
    std::vector<Index> widths = {1, 3, 8, 21};
    bool differentiable = true;
};

const std::vector<OperationCase>& operation_table();

// Recordings that must be refused: the message says what was found (wrong_operations.cpp).
struct WrongOperation {
    std::string name; // function first, as above
    std::function<void(OperationInputs&)> record;
};
const std::vector<WrongOperation>& wrong_operations();

} // namespace tether::test
