// Operations as simple as can be, to test recording, planning and running without the real ones.
#pragma once

#include "tether/program/builder.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

namespace tether::test::toy {

// By name: `sum` adds its inputs; `weight` multiplies columns by a parameter; `loss` adds everything
// up; `pair` has two outputs; `statistics` writes column sums into a state; others have no rule.
class Toy : public OpOf<Toy> {
public:
    explicit Toy(std::string name) : name_(std::move(name)) {}
    [[nodiscard]] std::string_view name() const override { return name_; }
    [[nodiscard]] Tiling tiling() const override {
        return name_ == "sum" || name_ == "pair" || name_ == "weight" || name_ == "weight_back"
                   ? Tiling::rows
                   : Tiling::whole;
    }
    [[nodiscard]] bool sums_tiles() const override { return name_ == "weight_gradient"; }

    template <class T>
    void execute(Run<T>& r) const {
        const bool to_column = name_ == "loss" || name_ == "statistics" || name_ == "weight_gradient";
        const bool goes_on = r.sums_tiles && (r.tile.lane > 0 || !r.tile.begins);
        for (int o = 0; o < static_cast<int>(r.outputs.size()) && !goes_on; ++o) {
            if (r.has_out(o) && (name_ != "statistics" || r.commits_state)) {
                std::fill_n(r.out(o), r.out_rows(o) * r.out_columns(o), T(0));
            }
        }
        if (name_ == "statistics" && !r.commits_state) {
            return;
        }
        if (name_ == "spread") { // every entry gets the one number
            std::fill_n(r.out(0), r.out_rows(0) * r.out_columns(0), r.in(0)[0]);
            return;
        }
        for (Index row = 0; row < r.in_rows(0); ++row) {
            for (Index c = 0; c < r.in_columns(0); ++c) {
                const Index at = row * r.in_columns(0) + c;
                T value = r.in(0)[at];
                if (name_ == "weight" || name_ == "weight_back") {
                    value *= r.in(1)[c];
                } else if (name_ == "weight_gradient") {
                    value *= r.in(1)[at];
                } else {
                    for (std::size_t i = 1; i < r.inputs.size(); ++i) {
                        value += r.inputs[i].data[at];
                    }
                }
                for (int o = 0; o < static_cast<int>(r.outputs.size()); ++o) {
                    if (r.has_out(o)) {
                        T* to = r.out(o) + (to_column ? (name_ == "loss" ? 0 : c) : at);
                        *to += value;
                    }
                }
            }
        }
    }

    void reverse(Reverse& r) const override {
        Builder& b = r.builder();
        const ValueInfo x = b.info(r.in(0));
        if (name_ == "sum" || name_ == "pair") {
            for (int i = 0; i < r.inputs(); ++i) {
                for (int o = 0; r.wants(i) && o < (name_ == "pair" ? 2 : 1); ++o) {
                    if (r.gradient(o).valid()) {
                        r.add(i, r.gradient(o));
                    }
                }
            }
        } else if (name_ == "loss") {
            r.add(0, b.append(std::make_shared<Toy>("spread"), {r.gradient(0)}, x.extent, x.columns));
        } else if (name_ == "weight") {
            if (r.wants(0)) {
                r.add(0, b.append(std::make_shared<Toy>("weight_back"), {r.gradient(0), r.in(1)}, x.extent,
                                  x.columns));
            }
            const Value g = b.parameter_gradient(r.in(1), {{0, 0, 1, 1, x.columns}});
            b.append_into(std::make_shared<Toy>("weight_gradient"), {r.in(0), r.gradient(0)}, {g});
        } else {
            Op::reverse(r);
        }
    }

private:
    std::string name_;
};

inline Value record(Builder& b, const std::string& name, std::vector<Value> in, Extent extent,
                    Index columns) {
    return b.append(std::make_shared<Toy>(name), std::move(in), extent, columns);
}

} // namespace tether::test::toy
