#include "tether/program/rematerialise.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace tether {
namespace {

class Rematerialiser {
public:
    explicit Rematerialiser(Program& program) : program_(program), producer_(program.values.size(), none) {
        for (std::size_t n = 0; n < program.forward_nodes; ++n) {
            for (const Value v : program.nodes[n].out) {
                if (v.valid()) {
                    producer_[static_cast<std::size_t>(v.id)] = n;
                }
            }
        }
        for (std::size_t n = program.forward_nodes; n < program.nodes.size(); ++n) {
            for (const Value v : program.nodes[n].in) {
                read_later_.insert(v.id);
            }
        }
    }

    void run() {
        std::vector<Node> nodes(program_.nodes.begin(),
                                program_.nodes.begin() + static_cast<std::ptrdiff_t>(program_.forward_nodes));
        std::size_t added = 0;
        for (std::size_t n = program_.forward_nodes; n < program_.nodes.size(); ++n) {
            Node node = program_.nodes[n];
            for (Value& v : node.in) {
                v = n < program_.part_nodes ? again(v, nodes) : v;
            }
            nodes.push_back(std::move(node));
            added = n + 1 == program_.part_nodes ? nodes.size() - program_.part_nodes : added;
        }
        program_.part_nodes += added;
        program_.nodes = std::move(nodes);
    }

private:
    static constexpr std::size_t none = static_cast<std::size_t>(-1);

    // Whether a value can be computed again from values that the reverse pass needs anyway.
    [[nodiscard]] bool recomputable(Value v) const {
        const std::size_t p = v.valid() && static_cast<std::size_t>(v.id) < producer_.size()
                                  ? producer_[static_cast<std::size_t>(v.id)]
                                  : none;
        if (p == none || !program_.nodes[p].op->cheap()) {
            return false;
        }
        return std::ranges::all_of(program_.nodes[p].in, [&](Value in) {
            return producer_[static_cast<std::size_t>(in.id)] == none || read_later_.contains(in.id) ||
                   recomputable(in);
        });
    }

    // The value to read in the reverse pass in place of v.
    Value again(Value v, std::vector<Node>& nodes) {
        if (!recomputable(v)) {
            return v;
        }
        if (const auto known = copy_.find(v.id); known != copy_.end()) {
            return known->second;
        }
        const Node original = program_.nodes[producer_[static_cast<std::size_t>(v.id)]];
        Node node{original.op, {}, {}};
        for (const Value in : original.in) {
            node.in.push_back(again(in, nodes));
        }
        for (const Value out : original.out) {
            if (!out.valid()) {
                node.out.push_back(out);
                continue;
            }
            const ValueInfo info = program_.info(out);
            program_.values.push_back(info);
            node.out.push_back({static_cast<int>(program_.values.size()) - 1});
            copy_[out.id] = node.out.back();
        }
        nodes.push_back(std::move(node));
        return copy_.at(v.id);
    }

    Program& program_;
    std::vector<std::size_t> producer_; // node of the forward pass that writes a value
    std::set<int> read_later_;
    std::map<int, Value> copy_;
};

} // namespace

void rematerialise(Program& program) { Rematerialiser(program).run(); }

} // namespace tether
