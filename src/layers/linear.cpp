#include "tether/layers/linear.hpp"

#include "tether/ops/block_linear.hpp"

#include <cmath>

namespace tether::layers {

namespace {

// Layout of a weight [out, in] whose rows and columns lie in another order than the published ones.
std::vector<Index> matrix_order(Index out, Index in, const LinearOptions& options) {
    std::vector<Index> order;
    if (options.input_order.empty() && options.output_order.empty()) {
        return order;
    }
    const auto find = [](const std::vector<Index>& list, Index k) {
        return list.empty() ? k : list[static_cast<std::size_t>(k)];
    };
    for (Index o = 0; o < out; ++o) {
        for (Index i = 0; i < in; ++i) {
            order.push_back(find(options.output_order, o) * in + find(options.input_order, i));
        }
    }
    return order;
}

} // namespace

Value linear_weight(Builder& b, const std::string& name, Index out, Index in, const LinearOptions& options) {
    const double bound = 1 / std::sqrt(static_cast<double>(in));
    return b.parameter({.name = name + ".weight",
                        .shape = {out, in},
                        .kind = options.kind,
                        .initial = options.initial.value_or(Initial::uniform(bound)),
                        .published = matrix_order(out, in, options)});
}

std::optional<Value> linear_bias(Builder& b, const std::string& name, Index out, Index in,
                                 const LinearOptions& options) {
    if (!options.bias) {
        return {};
    }
    const double bound = 1 / std::sqrt(static_cast<double>(in));
    return b.parameter({.name = name + ".bias",
                        .shape = {out},
                        .kind = options.kind,
                        .initial = Initial::uniform(bound),
                        .published = options.output_order});
}

Value linear(Builder& b, const std::string& name, const std::vector<Value>& inputs, Index out,
             const LinearOptions& options) {
    Index in = 0;
    for (const Value x : inputs) {
        in += b.info(x).columns;
    }
    const Value weight = linear_weight(b, name, out, in, options);
    return ops::linear(b, inputs, weight, out, linear_bias(b, name, out, in, options), options.activation);
}

} // namespace tether::layers
