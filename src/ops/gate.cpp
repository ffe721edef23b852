#include "tether/ops/gate.hpp"

#include "tether/core/error.hpp"

#include <algorithm>
#include <memory>

namespace tether::ops {
namespace {

using kernels::GatedTerm;
using kernels::GateShape;

// Calls f(row, sigmoids of the row) for all rows; the sigmoids of a few rows are made together.
template <class T, class F>
void with_sigmoids(const GateShape& shape, Run<T>& r, F&& f) {
    constexpr Index rows_at_once = 16;
    const Index stride = kernels::gate_sigmas<T>(shape);
    if (r.scratch->size() < static_cast<std::size_t>(rows_at_once * stride)) {
        r.scratch->resize(static_cast<std::size_t>(rows_at_once * stride));
    }
    T* sigma = r.scratch->data();
    for (Index first = 0; first < r.in_rows(0); first += rows_at_once) {
        const Index count = std::min(rows_at_once, r.in_rows(0) - first);
        kernels::gate_sigmoids(shape, count, r.in(0) + first * r.in_columns(0), sigma);
        for (Index k = 0; k < count; ++k) {
            f(first + k, static_cast<const T*>(sigma + k * stride));
        }
    }
}

// The term of every gate.
template <class T>
const std::int32_t* term_of_gate(const DeviceRun<T>& r, const GateShape& shape,
                                 const std::vector<GatedTerm>& terms) {
    std::vector<std::int32_t> of(static_cast<std::size_t>(shape.gates), -1);
    for (std::size_t t = 0; t < terms.size(); ++t) {
        std::fill_n(of.begin() + terms[t].gate, terms[t].copies, static_cast<std::int32_t>(t));
    }
    return r.memory->constants(std::span<const std::int32_t>(of));
}

class GateBackward : public OpOf<GateBackward> {
public:
    GateBackward(const GateShape& shape, std::vector<GatedTerm> terms)
        : shape_(shape), terms_(std::move(terms)) {}
    [[nodiscard]] std::string_view name() const override { return "gate_backward"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index before = r.out_columns(0);
        const Index after = r.in_columns(1);
        with_sigmoids(shape_, r, [&](Index row, const T* sigma) {
            kernels::gate_row_backward(shape_, terms_.data(), static_cast<Index>(terms_.size()),
                                       r.in(0) + row * before, sigma, r.in(1) + row * after,
                                       r.out(0) + row * before);
        });
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.wide_numbers(
            r.output(0).extent, r.output(0).capacity, shape_.scalars + shape_.gates,
            kernels::GateBackwardNumbers<T>{shape_, r.memory->constants(std::span<const GatedTerm>(terms_)),
                                            term_of_gate(r, shape_, terms_), r.in(0), r.in(1), r.out(0)});
    }

private:
    GateShape shape_;
    std::vector<GatedTerm> terms_;
};

class Gate : public OpOf<Gate> {
public:
    Gate(const GateShape& shape, std::vector<GatedTerm> terms) : shape_(shape), terms_(std::move(terms)) {}
    [[nodiscard]] std::string_view name() const override { return "gate"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    [[nodiscard]] bool cheap() const override { return true; }
    template <class T>
    void execute(Run<T>& r) const {
        const Index before = r.in_columns(0);
        const Index after = r.out_columns(0);
        with_sigmoids(shape_, r, [&](Index row, const T* sigma) {
            kernels::gate_row(shape_, terms_.data(), static_cast<Index>(terms_.size()),
                              r.in(0) + row * before, sigma, r.out(0) + row * after);
        });
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.wide_numbers(r.output(0).extent, r.output(0).capacity, shape_.scalars + shape_.gates,
                       kernels::GateNumbers<T>{shape_,
                                               r.memory->constants(std::span<const GatedTerm>(terms_)),
                                               term_of_gate(r, shape_, terms_), r.in(0), r.out(0)});
    }
    void reverse(Reverse& r) const override {
        Builder& b = r.builder();
        r.add(0, b.append(std::make_shared<GateBackward>(shape_, terms_), {r.in(0), r.gradient(0)},
                          b.info(r.in(0)).extent, b.info(r.in(0)).columns));
    }

private:
    GateShape shape_;
    std::vector<GatedTerm> terms_;
};

} // namespace

Value gate(Builder& b, Value x, const GateShape& shape, const std::vector<GatedTerm>& terms) {
    check(b.info(x).columns == shape.scalars + shape.gates + shape.gated,
          "gate: {} columns, expected {} + {} + {}", b.info(x).columns, shape.scalars, shape.gates,
          shape.gated);
    for (const GatedTerm& t : terms) {
        check(t.gate + t.copies <= shape.gates && t.column + t.components * t.copies <= shape.gated,
              "gate: a term of {} copies ends beyond {} gates or {} gated columns", t.copies, shape.gates,
              shape.gated);
    }
    return b.append(std::make_shared<Gate>(shape, terms), {x}, b.info(x).extent, shape.scalars + shape.gated);
}

} // namespace tether::ops
