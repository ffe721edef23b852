#include "tether/program/program.hpp"

#include "tether/core/error.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

namespace tether {

int StateSet::require(StateBuffer buffer) {
    for (std::size_t i = 0; i < buffers_.size(); ++i) {
        if (buffers_[i].name == buffer.name) {
            check(buffers_[i].shape == buffer.shape, "buffer {} is declared twice with different shapes",
                  buffer.name);
            return static_cast<int>(i);
        }
    }
    buffer.size =
        std::accumulate(buffer.shape.begin(), buffer.shape.end(), Index{1}, std::multiplies<Index>());
    buffer.offset = size_;
    size_ += buffer.size;
    buffers_.push_back(std::move(buffer));
    return static_cast<int>(buffers_.size()) - 1;
}

template <class T>
void StateSet::initialise(std::vector<T>& flat, std::uint64_t seed) const {
    flat.resize(static_cast<std::size_t>(size_));
    for (const StateBuffer& b : buffers_) {
        if (b.law) {
            std::vector<double> drawn(static_cast<std::size_t>(b.size));
            draw(*b.law, seed, b.name, drawn);
            if (b.prepare) {
                b.prepare(drawn);
            }
            std::ranges::transform(drawn, flat.begin() + b.offset,
                                   [](double x) { return static_cast<T>(x); });
            continue;
        }
        for (Index k = 0; k < b.size; ++k) {
            flat[static_cast<std::size_t>(b.offset + k)] = static_cast<T>(b.initial);
        }
    }
}

template void StateSet::initialise<float>(std::vector<float>&, std::uint64_t) const;
template void StateSet::initialise<double>(std::vector<double>&, std::uint64_t) const;

Index Program::sum_columns() const {
    Index total = 0;
    for (const auto& [name, value] : sums) {
        total += info(value).columns;
    }
    return total;
}

int Program::control_number(const std::string& name) const {
    const auto found = std::ranges::find(controls, name);
    return found == controls.end() ? -1 : static_cast<int>(found - controls.begin());
}

double node_flop(const Program& program, std::size_t node, const std::array<Index, axis_count>& rows) {
    const Node& n = program.nodes[node];
    std::vector<Run<float>::Operand> operands;
    for (const auto* list : {&n.in, &n.out}) {
        for (const Value v : *list) {
            if (!v.valid()) {
                operands.push_back({});
                continue;
            }
            const ValueInfo& i = program.info(v);
            const Index axis_rows =
                i.extent.axis == Axis::one ? 1 : rows[static_cast<std::size_t>(i.extent.axis)];
            operands.push_back({nullptr, axis_rows * i.extent.times, i.columns, i.extent});
        }
    }
    // A batch of these counts, its nodes spread evenly: the work of attention grows with the squares.
    BatchPart<float> batch;
    const auto graphs = rows[static_cast<std::size_t>(Axis::graph)];
    const auto nodes = rows[static_cast<std::size_t>(Axis::node)];
    for (Index g = 0; g <= graphs; ++g) {
        batch.topology.node_begin.push_back(static_cast<std::int32_t>(graphs == 0 ? 0 : nodes * g / graphs));
    }
    Run<float> r;
    r.batch = &batch;
    r.inputs = {operands.data(), n.in.size()};
    r.outputs = {operands.data() + n.in.size(), n.out.size()};
    return n.op->flop(r);
}

} // namespace tether
