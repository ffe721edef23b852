#include "tether/layers/tensor_product.hpp"

#include "tether/core/error.hpp"
#include "tether/ops/bilinear.hpp"
#include "tether/ops/block_linear.hpp"
#include "tether/ops/elementwise.hpp"
#include "tether/ops/gate.hpp"
#include "tether/symmetry/clebsch_gordan.hpp"
#include "tether/symmetry/gate_constants.hpp"
#include "tether/symmetry/paths.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

namespace tether::layers {
namespace {

using symmetry::Irrep;
using symmetry::Irreps;
using symmetry::TensorPath;
using symmetry::TensorPaths;

// A run of copies of one irrep in one input, and where its rows lie in the merged first factor.
struct Slot {
    int input = 0;
    Index column = 0; // in the input
    Index copies = 0;
    Irrep ir;
    Index merged = 0;     // term of TensorPaths::a
    Index first_copy = 0; // within that term
};

std::vector<Slot> slots_of(const std::vector<Irreps>& inputs, const TensorPaths& paths) {
    std::vector<Slot> slots;
    Index merged = 0;
    Index used = 0;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        for (Index t = 0; t < inputs[i].size(); ++t) {
            const auto& term = inputs[i][t];
            if (term.mul == 0) {
                continue;
            }
            if (used == paths.a[merged].mul) {
                ++merged;
                used = 0;
            }
            slots.push_back({static_cast<int>(i), inputs[i].offset(t), term.mul, term.ir, merged, used});
            used += term.mul;
        }
    }
    return slots;
}

// Everything both kinds of product need: declared parameters and the enumerated paths.
struct Product {
    TensorPaths paths;
    std::vector<Slot> slots;
    Irreps out;
    std::vector<Index> column; // of each term of `out` while it is computed: scalars first, for the bias
    Value weight;
    std::optional<Value> bias;
};

// The terms of the result in the order asked for.
Value in_order(Builder& b, const Product& p, Value y) {
    std::vector<Index> order;
    bool moved = false;
    for (Index c = 0; c < p.out.size(); ++c) {
        const Index first = p.column[static_cast<std::size_t>(c)];
        moved = moved || first != p.out.offset(c);
        for (Index k = 0; k < p.out[c].dim(); ++k) {
            order.push_back(first + k);
        }
    }
    return moved ? ops::permute(b, y, order) : y;
}

Product declare(Builder& b, const std::string& name, const std::vector<Irreps>& inputs,
                const Irreps& attributes, const Irreps& out, const TensorProductOptions& options) {
    Irreps first;
    for (const Irreps& i : inputs) {
        first = first + i;
    }
    Product p;
    p.paths = symmetry::tensor_paths(first, attributes, out);
    p.slots = slots_of(inputs, p.paths);
    p.out = p.paths.c;
    const auto bound = [&](Index c) {
        const Index fan_in = p.paths.fan_in[static_cast<std::size_t>(c)];
        return fan_in > 0 ? 1 / std::sqrt(static_cast<double>(fan_in)) : 0.0;
    };
    Initial initial = Initial::uniform(0);
    for (const TensorPath& path : p.paths.paths) {
        initial.pieces.emplace_back(path.weights(), bound(path.c));
    }
    p.weight = b.parameter(
        {.name = name + ".tp.weight", .shape = {p.paths.weights}, .kind = options.kind, .initial = initial});
    Index scalars = 0;
    Initial bias_initial = Initial::uniform(0);
    for (Index c = 0; c < p.out.size(); ++c) {
        p.column.push_back(scalars);
        if (p.out[c].ir.scalar()) {
            scalars += p.out[c].mul;
            bias_initial.pieces.emplace_back(p.out[c].mul, bound(c));
        }
    }
    Index next = scalars;
    for (Index c = 0; c < p.out.size(); ++c) {
        if (!p.out[c].ir.scalar()) {
            p.column[static_cast<std::size_t>(c)] = next;
            next += p.out[c].dim();
        }
    }
    if (options.bias && scalars > 0) {
        p.bias = b.parameter(
            {.name = name + ".biases", .shape = {scalars}, .kind = options.kind, .initial = bias_initial});
    }
    return p;
}

// The weights of one path between a slot's copies and copy v of the attribute term.
WeightView view(const TensorPath& path, const Slot& slot, Index v) {
    return {path.offset + (slot.first_copy * path.mul_b + v) * path.mul_c, path.mul_b * path.mul_c, 1,
            slot.copies, path.mul_c};
}

// Terms of the contraction of path (a, b, c) for attribute copy v: x block i of `in_length` channels
// at `in`, result block k at `out`, each coefficient times sqrt(2 l_c + 1).
void contract(ops::BilinearMap& map, const TensorPaths& paths, const TensorPath& path, Irrep a, Index v,
              Index in, Index out, Index length) {
    const auto& tensor = symmetry::clebsch_gordan(a.l, paths.b[path.b].ir.l, paths.c[path.c].ir.l);
    const double factor = std::sqrt(static_cast<double>(paths.c[path.c].ir.dim()));
    for (const auto& e : tensor.entries) {
        map.terms.push_back({out + e.k * length, in + e.i * length,
                             paths.b.offset(path.b) + e.j * path.mul_b + v, length, factor * e.value});
    }
}

// Weights first: for every (irrep of a, b, v, c) one region of (2l_a+1) x mul_c columns, in which the
// products of all slots of that irrep are summed; a later contraction with the attributes.
class WeightsFirst {
public:
    explicit WeightsFirst(const Product& product) : product_(product) { map_.columns = product.out.dim(); }

    // Adds a path of a slot to the linear map of its input.
    void add(ops::BlockLinear& linear, int input, const TensorPath& path, const Slot& slot) {
        for (Index v = 0; v < path.mul_b; ++v) {
            const auto key = std::make_tuple(slot.ir.l, slot.ir.parity, path.b, v, path.c);
            if (!region_.contains(key)) {
                region_[key] = columns_;
                contract(map_, product_.paths, path, slot.ir, v, columns_,
                         product_.column[static_cast<std::size_t>(path.c)], path.mul_c);
                columns_ += slot.ir.dim() * path.mul_c;
            }
            const Index column = region_[key];
            ops::Block* block = nullptr;
            for (ops::Block& known : linear.blocks) {
                block = known.column == column ? &known : block;
            }
            if (block == nullptr) {
                linear.blocks.push_back({column, path.mul_c, slot.ir.dim(), path.mul_c, {}});
                block = &linear.blocks.back();
            }
            block->terms.push_back({input, slot.column, slot.copies, view(path, slot, v)});
        }
    }
    [[nodiscard]] Index columns() const { return columns_; }
    [[nodiscard]] const ops::BilinearMap& map() const { return map_; }

private:
    const Product& product_;
    std::map<std::tuple<int, int, Index, Index, Index>, Index> region_;
    Index columns_ = 0;
    ops::BilinearMap map_;
};

// With the constant attribute 1 a product is a linear map between equal irreps.
Value linear_product(Builder& b, const Product& p, const std::vector<Value>& values) {
    ops::BlockLinear linear{p.out.dim(), {}};
    for (Index c = 0; c < p.out.size(); ++c) {
        ops::Block block{
            p.column[static_cast<std::size_t>(c)], p.out[c].mul, p.out[c].ir.dim(), p.out[c].mul, {}};
        for (const Slot& slot : p.slots) {
            for (const TensorPath& path : p.paths.paths) {
                // sqrt(2l+1) · C(l, 0, l) is the identity.
                if (path.c == c && path.a == slot.merged) {
                    block.terms.push_back({slot.input, slot.column, slot.copies, view(path, slot, 0)});
                }
            }
        }
        if (!block.terms.empty() || p.out[c].ir.scalar()) { // a scalar that nothing reaches is its bias
            linear.blocks.push_back(std::move(block));
        }
    }
    return in_order(b, p, ops::block_linear(b, values, p.weight, linear, p.bias));
}

} // namespace

Value tensor_product(Builder& b, const std::string& name, const std::vector<Features>& inputs,
                     const Features& attributes, const Irreps& out, const TensorProductOptions& options) {
    std::vector<Irreps> irreps;
    std::vector<Value> values;
    for (const Features& f : inputs) {
        check(b.info(f.value).columns == f.irreps.dim(), "{}: {} columns for {}", name,
              b.info(f.value).columns, f.irreps.to_string());
        irreps.push_back(f.irreps.simplified());
        values.push_back(f.value);
    }
    const Product p = declare(b, name, irreps, attributes.irreps, out, options);
    check(!p.paths.paths.empty(), "{}: no path leads to {}", name, out.to_string());
    if (!attributes.value.valid()) {
        check(p.paths.b.dim() == 1 && p.paths.b[0].ir.scalar(), "{}: attributes {} without values", name,
              attributes.irreps.to_string());
        return linear_product(b, p, values);
    }
    // Contraction first: one contracted block per (input slot, path, attribute copy), then the weights.
    std::vector<ops::BilinearMap> contraction(inputs.size());
    ops::BlockLinear after{p.out.dim(), {}};
    std::vector<Index> block_of(static_cast<std::size_t>(p.out.size()), -1);
    WeightsFirst before(p);
    ops::BlockLinear linear;
    for (const Slot& slot : p.slots) {
        for (const TensorPath& path : p.paths.paths) {
            if (path.a != slot.merged) {
                continue;
            }
            const Irrep c = p.out[path.c].ir;
            if (c.l > slot.ir.l) {
                before.add(linear, slot.input, path, slot);
                continue;
            }
            Index& number = block_of[static_cast<std::size_t>(path.c)];
            if (number < 0) {
                number = static_cast<Index>(after.blocks.size());
                after.blocks.push_back(
                    {p.column[static_cast<std::size_t>(path.c)], path.mul_c, c.dim(), path.mul_c, {}});
            }
            for (Index v = 0; v < path.mul_b; ++v) {
                ops::BilinearMap& map = contraction[static_cast<std::size_t>(slot.input)];
                contract(map, p.paths, path, slot.ir, v, slot.column, map.columns, slot.copies);
                after.blocks[static_cast<std::size_t>(number)].terms.push_back(
                    {slot.input, map.columns, slot.copies, view(path, slot, v)});
                map.columns += c.dim() * slot.copies;
            }
        }
    }
    for (Index c = 0; c < p.out.size() && before.columns() == 0; ++c) {
        if (p.out[c].ir.scalar() && block_of[static_cast<std::size_t>(c)] < 0) { // nothing but its bias
            after.blocks.push_back(
                {p.column[static_cast<std::size_t>(c)], p.out[c].mul, 1, p.out[c].mul, {}});
        }
    }
    std::optional<Value> sum;
    if (!after.blocks.empty()) {
        std::vector<Value> contracted;
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            // An input without contracted paths keeps its place in the list but is not read.
            contracted.push_back(contraction[i].columns > 0
                                     ? ops::bilinear(b, values[i], attributes.value, contraction[i])
                                     : values[i]);
        }
        sum = ops::block_linear(b, contracted, p.weight, after,
                                before.columns() > 0 ? std::optional<Value>{} : p.bias);
    }
    if (before.columns() == 0) {
        return in_order(b, p, *sum);
    }
    linear.columns = before.columns();
    const Value weighted = ops::block_linear(b, values, p.weight, linear);
    return in_order(b, p,
                    ops::bilinear(b, weighted, attributes.value, before.map(), {.add = sum, .bias = p.bias}));
}

Value message_tensor_product(Builder& b, const std::string& name, const Features& node, Value extra,
                             const Features& attributes, const Irreps& out,
                             const TensorProductOptions& options) {
    const Irreps hidden = node.irreps.simplified();
    const Irreps scalars({{b.info(extra).columns, Irrep{0, 1}}});
    const Product p = declare(b, name, {hidden, hidden, scalars}, attributes.irreps, out, options);
    check(!p.paths.paths.empty(), "{}: no path leads to {}", name, out.to_string());
    WeightsFirst weights(p);
    std::vector<ops::BlockLinear> linear(3);
    for (const Slot& slot : p.slots) {
        for (const TensorPath& path : p.paths.paths) {
            if (path.a == slot.merged) {
                weights.add(linear[static_cast<std::size_t>(slot.input)], 0, path, slot);
            }
        }
    }
    linear[0].columns = weights.columns();
    linear[1].columns = weights.columns();
    for (const ops::Block& block : linear[2].blocks) { // scalars come first, and so do their regions
        linear[2].columns =
            std::max(linear[2].columns, block.column + block.components * block.component_stride);
    }
    const Value at_receiver = ops::block_linear(b, {node.value}, p.weight, linear[0]);
    const Value at_sender = ops::block_linear(b, {node.value}, p.weight, linear[1]);
    const Value on_edge = ops::block_linear(b, {extra}, p.weight, linear[2]);
    return in_order(b, p,
                    ops::gathered_bilinear(b, at_receiver, at_sender, on_edge, attributes.value,
                                           weights.map(), {.bias = p.bias}));
}

Irreps before_gate(const Irreps& out) {
    Index scalars = 0;
    Index gates = 0;
    std::vector<symmetry::Term> gated;
    for (const auto& term : out) {
        if (term.ir.scalar()) {
            check(gated.empty(), "gate: the scalars of {} must come first", out.to_string());
            scalars += term.mul;
        } else {
            gates += term.mul;
            gated.push_back(term);
        }
    }
    std::vector<symmetry::Term> terms{{scalars + gates, Irrep{0, 1}}};
    terms.insert(terms.end(), gated.begin(), gated.end());
    return Irreps(std::move(terms)).simplified();
}

Value gate(Builder& b, Value x, const Irreps& out) {
    if (out.only_scalars()) {
        return ops::activation(b, x, Activation::silu);
    }
    kernels::GateShape shape{0, 0, 0, symmetry::silu_constant, symmetry::sigmoid_constant};
    std::vector<kernels::GatedTerm> terms;
    for (const auto& term : out.simplified()) {
        if (term.ir.scalar()) {
            shape.scalars += term.mul;
        } else {
            terms.push_back({shape.gates, shape.gated, term.ir.dim(), term.mul});
            shape.gates += term.mul;
            shape.gated += term.dim();
        }
    }
    return ops::gate(b, x, shape, terms);
}

} // namespace tether::layers
