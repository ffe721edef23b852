// What an operation is: how it runs on the rows of a batch part, how it is reversed, what it costs.
// An operation object holds constants only (shapes, tables, column offsets); all numbers come
// through Run. Operations never know in which model or method they are used.
#pragma once

#include "tether/core/types.hpp"
#include "tether/program/device_run.hpp"
#include "tether/program/run.hpp"

#include <cstdint>
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

// Which rows an operation must see at once.
enum class Tiling : std::uint8_t {
    whole, // all of them
    rows   // row r of its outputs depends on row r of the inputs that have the outputs' extent, and on
           // inputs of other extents: may run tile by tile (Run::tile)
};

class Op {
public:
    Op() = default;
    Op(const Op&) = delete;
    Op& operator=(const Op&) = delete;
    virtual ~Op() = default;
    [[nodiscard]] virtual std::string_view name() const = 0;
    virtual void run(Run<float>& r) const = 0;
    virtual void run(Run<double>& r) const = 0;
    // Appends what a device has to do to its list. The default is an error naming the operation.
    virtual void launch(DeviceRun<float>& r) const;
    virtual void launch(DeviceRun<double>& r) const;
    // Fails where a batch does not suit the operation. A device cannot fail in its middle: its executor asks
    // every operation when a batch is loaded.
    virtual void check_batch(const Topology&) const {}
    // Appends the nodes that carry the outputs' gradients to the inputs. The default is an error
    // naming the operation: some operations (measures) are never differentiated.
    virtual void reverse(Reverse& r) const;
    [[nodiscard]] virtual Tiling tiling() const { return Tiling::whole; }
    // Sums over the rows of inputs of one extent and can do so tile by tile (Run::sums_tiles); outputs of
    // that extent are written row by row.
    [[nodiscard]] virtual bool sums_tiles() const { return false; }
    // On a device: its launches make rows that need, of their own axis, the same row alone; outputs of
    // different axes in different launches, which may come at different times (device_program.hpp).
    [[nodiscard]] virtual bool rows_on_devices() const { return tiling() == Tiling::rows; }
    // So cheap, compared with moving its outputs through memory, that they are computed again in the
    // reverse pass rather than kept (rematerialise.hpp). Only with Tiling::rows.
    [[nodiscard]] virtual bool cheap() const { return false; }
    // Outputs keep what they hold and are added to.
    [[nodiscard]] virtual bool adds_to_outputs() const { return false; }
    // Contains a sum over all lanes of the global batch (Run::exchange).
    [[nodiscard]] virtual bool exchanges() const { return false; }
    // Floating-point operations of one execution (a multiply-add counts two).
    [[nodiscard]] virtual double flop(const Run<float>& r) const;
};

// Implements both precisions from one template: Derived::execute<T>(Run<T>&) const and, for devices,
// Derived::record<T>(DeviceRun<T>&) const.
template <class Derived>
class OpOf : public Op {
public:
    void run(Run<float>& r) const override { static_cast<const Derived*>(this)->template execute<float>(r); }
    void run(Run<double>& r) const override {
        static_cast<const Derived*>(this)->template execute<double>(r);
    }
    void launch(DeviceRun<float>& r) const override { launch_as<float>(r); }
    void launch(DeviceRun<double>& r) const override { launch_as<double>(r); }

private:
    template <class T>
    void launch_as(DeviceRun<T>& r) const {
        if constexpr (requires(const Derived& d) { d.template record<T>(r); }) {
            static_cast<const Derived*>(this)->template record<T>(r);
        } else {
            Op::launch(r);
        }
    }
};

struct Node {
    std::shared_ptr<const Op> op;
    std::vector<Value> in, out;
};

} // namespace tether
