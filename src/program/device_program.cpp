#include "tether/program/device_program.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace tether {
namespace {

// Cheap operations that are repeated on the same inputs (rematerialise.hpp) read what the first one made.
// Their nodes go.
void remove_repetitions(Program& program) {
    std::map<std::pair<const Op*, std::vector<int>>, std::vector<Value>> made;
    std::vector<Value> instead(program.values.size());
    for (Node& node : program.nodes) {
        std::vector<int> in;
        for (Value& v : node.in) {
            if (v.valid() && instead[static_cast<std::size_t>(v.id)].valid()) {
                v = instead[static_cast<std::size_t>(v.id)];
            }
            in.push_back(v.id);
        }
        if (!node.op->cheap()) {
            continue;
        }
        const auto [first, is_new] = made.try_emplace({node.op.get(), std::move(in)}, node.out);
        const std::vector<Value>& given = first->second;
        bool all = !is_new;
        for (std::size_t k = 0; all && k < node.out.size(); ++k) {
            all = !node.out[k].valid() || given[k].valid();
        }
        if (!all) {
            continue;
        }
        for (std::size_t k = 0; k < node.out.size(); ++k) {
            if (node.out[k].valid()) {
                instead[static_cast<std::size_t>(node.out[k].id)] = given[k];
            }
        }
        node.out.clear(); // a repetition
    }
    std::vector<Node> kept;
    std::size_t forward = 0;
    std::size_t part = 0;
    for (std::size_t n = 0; n < program.nodes.size(); ++n) {
        if (!program.nodes[n].out.empty()) {
            kept.push_back(std::move(program.nodes[n]));
            forward += n < program.forward_nodes ? 1 : 0;
            part += n < program.part_nodes ? 1 : 0;
        }
    }
    program.nodes = std::move(kept);
    program.forward_nodes = forward;
    program.part_nodes = part;
}

// A node whose rows are of several axes becomes one node for each of them, so that each goes with others of
// its rows.
void part_by_axes(Program& program) {
    std::vector<Node> nodes;
    std::size_t forward = 0;
    std::size_t part = 0;
    for (std::size_t n = 0; n < program.nodes.size(); ++n) {
        Node& node = program.nodes[n];
        std::set<Axis> axes;
        for (const Value v : node.out) {
            if (v.valid()) {
                axes.insert(program.info(v).extent.axis);
            }
        }
        const std::size_t before = nodes.size();
        if (axes.size() > 1 && node.op->rows_on_devices()) {
            for (const Axis axis : axes) {
                Node& one = nodes.emplace_back(node);
                for (Value& v : one.out) {
                    v = v.valid() && program.info(v).extent.axis == axis ? v : Value{};
                }
            }
        } else {
            nodes.push_back(std::move(node));
        }
        forward += n < program.forward_nodes ? nodes.size() - before : 0;
        part += n < program.part_nodes ? nodes.size() - before : 0;
    }
    program.nodes = std::move(nodes);
    program.forward_nodes = forward;
    program.part_nodes = part;
}

} // namespace

std::vector<bool> writes_gradients_alone(const Program& program) {
    const auto is_gradient = [&](Value v) {
        return v.valid() && (program.info(v).kind == ValueKind::gradient ||
                             program.info(v).kind == ValueKind::extra_gradient);
    };
    std::set<std::pair<ValueKind, Index>> touched; // by where they lie
    const auto place = [&](Value v) { return std::pair(program.info(v).kind, program.info(v).offset); };
    for (std::size_t n = 0; n < program.part_nodes; ++n) {
        const Node& node = program.nodes[n];
        for (const Value v : node.in) {
            if (is_gradient(v)) {
                touched.insert(place(v));
            }
        }
        for (const Value v : node.out) {
            if (is_gradient(v) && node.op->adds_to_outputs()) {
                touched.insert(place(v));
            }
        }
    }
    std::vector<bool> waits(program.nodes.size(), false);
    for (std::size_t n = 0; n < program.part_nodes; ++n) {
        const std::vector<Value>& out = program.nodes[n].out;
        waits[n] =
            std::ranges::all_of(out, [&](Value v) { return is_gradient(v) && !touched.contains(place(v)); });
    }
    return waits;
}

Program device_program(Program program) {
    remove_repetitions(program);
    part_by_axes(program);
    const std::vector<bool> last = writes_gradients_alone(program);
    std::vector<Node> nodes;
    for (const bool gradients : {false, true}) {
        for (std::size_t n = 0; n < program.part_nodes; ++n) {
            if (last[n] == gradients) {
                nodes.push_back(program.nodes[n]);
            }
        }
    }
    std::ranges::copy(nodes, program.nodes.begin());
    return program;
}

} // namespace tether
