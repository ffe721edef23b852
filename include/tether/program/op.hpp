// What an operation is: how it runs on the rows of a batch part, how it is reversed, what it costs.
// An operation object holds constants only (shapes, tables, column offsets); all numbers come
// through Run. Operations never know in which model or method they are used.
#pragma once

#include "tether/core/types.hpp"
#include "tether/program/run.hpp"

#include <memory>
#include <string_view>
#include <vector>

namespace tether {

class Builder;

struct Value {
    int id = -1;
    [[nodiscard]] bool valid() const { return id >= 0; }
    friend bool operator==(Value, Value) = default;
};

class Reverse;

class Op {
public:
    Op() = default;
    Op(const Op&) = delete;
    Op& operator=(const Op&) = delete;
    virtual ~Op() = default;
    [[nodiscard]] virtual std::string_view name() const = 0;
    virtual void run(Run<float>& r) const = 0;
    virtual void run(Run<double>& r) const = 0;
    // Appends the nodes that carry the outputs' gradients to the inputs. The default is an error
    // naming the operation: some operations (measures) are never differentiated.
    virtual void reverse(Reverse& r) const;
    // Contains a sum over all lanes of the global batch (Run::exchange).
    [[nodiscard]] virtual bool exchanges() const { return false; }
    // Floating-point operations of one execution (a multiply-add counts two).
    [[nodiscard]] virtual double flop(const Run<float>& r) const;
};

// Implements both precisions from one template: Derived::execute<T>(Run<T>&) const.
template <class Derived>
class OpOf : public Op {
public:
    void run(Run<float>& r) const override { static_cast<const Derived*>(this)->template execute<float>(r); }
    void run(Run<double>& r) const override {
        static_cast<const Derived*>(this)->template execute<double>(r);
    }
};

struct Node {
    std::shared_ptr<const Op> op;
    std::vector<Value> in, out;
};

} // namespace tether
